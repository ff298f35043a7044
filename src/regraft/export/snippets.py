"""How an exported network is used, in lines that one copies; the tests run them."""

import math
import shlex
from typing import Any

# With nothing of regraft and nothing of torch but what reads the file.
PIXELS = {
    "center": """\
    {size} = (edge * {shorter} // min(picture.size) for edge in picture.size)
    picture = picture.resize(({size}), Image.Resampling.{mode})
""",
    "squash": """\
    {size} = {across}, {down}
    picture = picture.resize(({size}), Image.Resampling.{mode})
""",
}
FITTED = '''\
import json
from pathlib import Path
import numpy as np
from PIL import Image, ImageOps
{imports}

about = json.loads(Path("regraft.json").read_text(encoding="utf-8"))

def read(path):
    """A picture as float32 (3, {height}, {width}), as the network wants to see it."""
    picture = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
{resize}    left, top = round((w - {width}) / 2), round((h - {height}) / 2)
    picture = picture.crop((left, top, left + {width}, top + {height}))
    pixels = np.asarray(picture, np.float32) / 255
    return ((pixels - about["input"]["mean"]) / about["input"]["std"]).transpose(2, 0, 1)

images = np.stack([read("photo.jpg")]).astype(np.float32)
{logits}
scaled = logits / about["calibration"]["temperature"]
shares = np.exp(scaled - scaled.max(1, keepdims=True))
shares /= shares.sum(1, keepdims=True)
for each in shares:
    sure = each.max() >= (about["calibration"]["threshold"] or 0)
    print(about["classes"][each.argmax()] if sure else "not sure", round(float(each.max()), 3))
'''
OPENS = {
    "onnx": (
        "import onnxruntime",
        'session = onnxruntime.InferenceSession("model.onnx")\n'
        '[logits] = session.run(["logits"], {"images": images})',
    ),
    "torch_export": (
        "import torch",
        'network = torch.export.load("model.pt2").module()\n'
        "logits = network(torch.from_numpy(images)).numpy()",
    ),
}
TIMM = """\
import json
from pathlib import Path
import timm
import torch
from PIL import Image, ImageOps

about = json.loads(Path("regraft.json").read_text(encoding="utf-8"))
network = timm.create_model("local-dir:.", pretrained=True).eval()
seen = timm.data.resolve_model_data_config(network)
transform = timm.data.create_transform(**seen, is_training=False)
picture = ImageOps.exif_transpose(Image.open("photo.jpg")).convert("RGB")
images = transform(picture).unsqueeze(0)
with torch.inference_mode():
    shares = (network(images) / about["calibration"]["temperature"]).softmax(1)
for each in shares:
    sure = each.max() >= (about["calibration"]["threshold"] or 0)
    print(about["classes"][each.argmax()] if sure else "not sure", round(float(each.max()), 3))
"""
OURS = """\
import torch
from pathlib import Path
from regraft import trained
from regraft.data.transforms import read_image

model = trained.load(Path("."))
photo = read_image(Path("photo.jpg"), model.input.white)
images = model.input.normalize(model.input.fit(photo).unsqueeze(0))
with torch.inference_mode():
    shares = (model.network(images) / model.calibration.temperature).softmax(1)
for each in shares:
    sure = each.max() >= (model.calibration.threshold or 0)
    print(model.classes[each.argmax()] if sure else "not sure", round(float(each.max()), 3))
"""
WARNING = (
    "`torch.export.load` unpickles: read `model.pt2` with it only if you trust who made it "
    "(`regraft predict` reads no more than its tensors)."
)
PLAIN = (
    'Its plain `convert("RGB")` drops transparency and cuts grey of 16 bits off at 255, where '
    "`regraft predict`, as the training, lays the one on white and scales the other to 8 bits; of "
    "an animated picture both see the first frame."
)


def text(told: dict[str, Any], name: str) -> str:
    """The commands, and the same in Python inside the folder."""
    extra = "'regraft[onnx]'" if told["format"] == "onnx" else "regraft"
    predict = f"regraft predict {shlex.quote(name)} photos/ --out predictions.csv"
    parts = [f"```\npip install {extra}\n{predict}\n```", "Or in Python, in this folder:"]
    if told["format"] == "torch_export":
        parts.append(WARNING)
    program = python(told)
    parts.append(f"```python\n{program}```")
    if program != OURS:
        parts.append(PLAIN)
    return "\n\n".join(parts)


def python(told: dict[str, Any]) -> str:
    """A program that prints a class and a probability for photo.jpg."""
    if told["format"] == "timm":
        return TIMM
    seen = told["input"]
    height, width = seen["size"]
    odd = seen["crop_mode"] == "border" or (seen["crop_mode"] == "center" and height != width)
    if told["format"] == "safetensors" or odd:
        return OURS
    imports, logits = OPENS[told["format"]]
    down, across = (math.floor(edge / seen["crop_pct"]) for edge in seen["size"])
    resize = PIXELS[seen["crop_mode"]].format(
        shorter=min(down, across),
        across=across,
        down=down,
        size="w, h",
        mode=seen["interpolation"].upper(),
    )
    return FITTED.format(imports=imports, logits=logits, resize=resize, height=height, width=width)
