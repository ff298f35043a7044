"""Is `regraft predict` as fast as a bare PyTorch loop, and as ONNX Runtime?"""

import csv
import io
import json
import tempfile
import time
from contextlib import redirect_stderr
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import task
import torch
from loading import photos
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms
from torchvision.datasets.folder import default_loader

from regraft import trained
from regraft.data.transforms import InputConfig
from regraft.environment import cores
from regraft.predict.predict import How, predict

# A network that is nearly all of the work, and one that leaves it to reading the files.
NETWORKS = {"resnet18": 224, "mobilenetv3_small_050": 224}


def measure(images: int = 400, rounds: int = 5) -> task.Seconds:
    """Images per second of each program from JPEG files to a CSV file, and their ratios."""
    made: task.Seconds = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        photos(folder / "photos", images)
        for network, size in NETWORKS.items():
            made |= _of(folder, network, size, rounds)
    return made


def _of(folder: Path, network: str, size: int, rounds: int) -> task.Seconds:
    run = folder / network
    _run(run, network, size)
    model = trained.load(run)
    programs = {
        "bare loop": partial(_loop, model, model.network, folder),
        "regraft predict": partial(_regraft, run, folder),
    }
    if find_spec("onnxruntime") and find_spec("onnxscript"):
        onnx = _exported(model, folder / f"{network}.onnx")
        programs["bare loop, ONNX Runtime"] = partial(_loop, model, onnx, folder)
    else:
        print("onnxruntime or onnxscript is not installed, so that column is left out")
    task.in_turn(programs, 1)
    took = task.in_turn(programs, rounds)
    _agree(folder)
    made = {f"{network}, {name}: images/s": [1 / s for s in took[name]] for name in programs}
    for peer in (name for name in programs if name.startswith("bare loop")):
        figure = f"{network}, regraft predict: time, {peer} = 1"
        made[figure] = task.ratios(took["regraft predict"], took[peer])
    return made


def _run(run: Path, network: str, size: int) -> None:
    """What a finished run leaves of an untrained network: the time does not depend on weights."""
    from saved import option
    from saved import run as saved

    backbone = option("backbone", "timm", name=network, size=size, weights="random")
    saved(run, classes=[f"class {n}" for n in range(10)], backbone=backbone)


def _exported(model: trained.Trained, path: Path) -> Any:
    """The same network with batches of any size, and with all cores."""
    import onnxruntime

    example = torch.randn(2, 3, *model.input.size)
    sizes = ({0: torch.export.Dim("batch", min=1)},)
    torch.onnx.export(
        model.network, (example,), path, dynamo=True, dynamic_shapes=sizes, verbose=False
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def _regraft(run: Path, folder: Path) -> float:
    """Seconds per image, without loading the network, which the peers are given loaded."""
    model = trained.load(run)
    load, trained.load = trained.load, lambda _: model
    said = io.StringIO()
    how = How(1, None, None, task.BATCH, cores(), "cpu", "path")
    try:
        with redirect_stderr(said):
            started = time.perf_counter()
            predict(run, [str(folder / "photos")], folder / "regraft.csv", how)
            took = time.perf_counter() - started
    finally:
        trained.load = load
    return took / _rows(folder / "regraft.csv")


class _Files(Dataset):
    """As one writes it: torchvision's loader and its classic transforms."""

    def __init__(self, folder: Path, input: InputConfig) -> None:
        self.files = sorted(folder.rglob("*.jpg"))
        how = transforms.InterpolationMode(input.interpolation)
        self.steps = transforms.Compose(
            [
                transforms.Resize(int(input.size[0] / input.crop_pct), interpolation=how),
                transforms.CenterCrop(input.size),
                transforms.ToTensor(),
                transforms.Normalize(input.mean, input.std),
            ]
        )

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, str]:
        return self.steps(default_loader(str(self.files[index]))), str(self.files[index])


def _loop(model: trained.Trained, network: Any, folder: Path) -> float:
    """A DataLoader with as many workers as regraft has threads, one forward pass, a CSV file."""
    started = time.perf_counter()
    loader = DataLoader(_Files(folder / "photos", model.input), task.BATCH, num_workers=cores())
    with (folder / "bare.csv").open("w", newline="") as file, torch.inference_mode():
        writer = csv.writer(file)
        writer.writerow(["path", "class", "probability"])
        for x, names in loader:
            if isinstance(network, nn.Module):
                logits = network(x.contiguous(memory_format=torch.channels_last))
            else:
                logits = torch.from_numpy(network.run(None, {_input(network): x.numpy()})[0])
            shares, best = logits.softmax(1).max(1)
            for path, index, share in zip(names, best.tolist(), shares.tolist(), strict=True):
                writer.writerow([path, model.classes[index], f"{share:.6f}"])
    return (time.perf_counter() - started) / _rows(folder / "bare.csv")


def _input(session: Any) -> str:
    return session.get_inputs()[0].name


def _rows(path: Path) -> int:
    with path.open(newline="") as file:
        return sum(1 for _ in csv.DictReader(file))


def _agree(folder: Path) -> None:
    """Fails unless both files say the same, up to what two ways to resize a picture differ in."""
    both = []
    for name in ("bare.csv", "regraft.csv"):
        with (folder / name).open(newline="") as file:
            both.append({row["path"]: row for row in csv.DictReader(file)})
    assert both[0].keys() == both[1].keys()
    shares = np.array([[float(said[path]["probability"]) for said in both] for path in both[0]])
    assert np.abs(shares[:, 0] - shares[:, 1]).max() < 0.02, json.dumps(shares[:3].tolist())
