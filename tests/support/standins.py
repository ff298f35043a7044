"""Small drawn data sets in the real on-disk formats, for what the documentation shows."""

import csv
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

# Colours of back, breast and beak.
SPECIES = {
    "blackbird": ((25, 25, 30), (35, 32, 35), (240, 170, 30)),
    "blue tit": ((70, 120, 190), (240, 215, 80), (50, 50, 60)),
    "bullfinch": ((110, 115, 130), (215, 80, 70), (30, 30, 30)),
    "robin": ((125, 100, 75), (220, 95, 40), (60, 50, 45)),
}
# As FER-2013 numbers them, and how often one of a thousand training images shows each.
EMOTIONS = {0: 139, 1: 15, 2: 143, 3: 251, 4: 168, 5: 111, 6: 173}
# Of mouth and brows: how far the corners of the mouth rise, how far it opens, how steep brows are.
_FACES = {
    0: (-0.5, 0.1, 0.8),
    1: (-0.7, 0.3, 0.3),
    2: (-0.2, 0.8, -0.7),
    3: (0.9, 0.4, 0.0),
    4: (-0.9, 0.0, -0.4),
    5: (0.0, 1.0, -0.2),
    6: (0.0, 0.0, 0.0),
}


def birds(folder: Path, per_species: int = 24, *, seed: int = 0) -> Path:
    """A folder of class folders: JPEG photographs of drawn birds on all kinds of backgrounds."""
    rng = np.random.default_rng(seed)
    for name, colours in SPECIES.items():
        (folder / name).mkdir(parents=True)
        for number in range(per_species):
            _bird(rng, *colours).save(folder / name / f"IMG_{number:04}.jpg", quality=85)
    return folder


def _bird(rng: np.random.Generator, back: tuple, breast: tuple, beak: tuple) -> Image.Image:
    width, height = (int(n) for n in rng.integers(120, 220, 2))
    rough = rng.integers(0, 60, (4, 5, 3)) + rng.integers(50, 190, 3)  # out of focus
    image = Image.fromarray(rough.astype(np.uint8)).resize(
        (width, height), Image.Resampling.BICUBIC
    )
    canvas = Image.new("RGBA", (160, 160))
    draw = ImageDraw.Draw(canvas)

    def tint(colour: tuple) -> tuple:
        return tuple(int(c) for c in np.clip(np.array(colour) + rng.normal(0, 12, 3), 0, 255))

    draw.polygon([(30, 90), (0, 112), (34, 104)], fill=tint(back))  # tail
    draw.ellipse((24, 62, 116, 122), fill=tint(back))
    draw.ellipse((58, 78, 116, 122), fill=tint(breast))
    draw.ellipse((88, 40, 132, 84), fill=tint(back))
    draw.polygon([(128, 56), (152, 64), (128, 70)], fill=tint(beak))
    draw.ellipse((112, 52, 120, 60), fill=(10, 10, 10))
    draw.ellipse((38, 70, 88, 100), fill=tint(tuple(0.8 * np.array(back))))  # wing
    canvas = canvas.rotate(float(rng.normal(0, 15)), Image.Resampling.BICUBIC)
    if rng.random() < 0.5:
        canvas = canvas.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    size = int(rng.uniform(0.6, 1.0) * min(width, height))
    canvas = canvas.resize((size, size))
    place = tuple(int(rng.integers(0, edge - size + 1)) for edge in (width, height))
    image.paste(canvas, place, canvas)
    return image


def emotions(folder: Path, images: int = 700, *, seed: int = 0) -> Path:
    """FER-2013's fer2013.csv with drawn faces: 48 × 48 grey, as unbalanced as the real ones."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    usages = {"Training": 1.0, "PublicTest": 0.125, "PrivateTest": 0.125}
    with (folder / "fer2013.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["emotion", "pixels", "Usage"])
        for usage, share in usages.items():
            for emotion, of_a_thousand in EMOTIONS.items():
                for _ in range(max(3, round(images * share * of_a_thousand / 1000))):
                    pixels = " ".join(map(str, np.asarray(_face(rng, emotion)).flatten()))
                    writer.writerow([emotion, pixels, usage])
    return folder


def _face(rng: np.random.Generator, emotion: int) -> Image.Image:
    corners, opening, brows = np.array(_FACES[emotion]) + rng.normal(0, 0.12, 3)
    skin, dark = int(rng.integers(130, 220)), int(rng.integers(10, 60))
    image = Image.new("L", (96, 96), int(rng.integers(20, 120)))
    draw = ImageDraw.Draw(image)
    draw.ellipse((12, 4, 84, 94), fill=skin)
    for side in (-1, 1):
        x = 48 + 16 * side
        draw.ellipse((x - 5, 38, x + 5, 46), fill=dark)
        tilt = 6 * brows * side
        draw.line((x - 8, 31 + tilt, x + 8, 31 - tilt), fill=dark, width=3)
    draw.line((48, 46, 46, 58), fill=skin - 40, width=2)
    x = np.linspace(-18, 18, 9)
    curve = 70 - 8 * corners * ((x / 18) ** 2 - 0.5)
    upper = [(48 + a, b) for a, b in zip(x, curve, strict=True)]
    depth = 14 * max(0.0, opening) * (1 - (x / 18) ** 2)
    lower = [(a, b + more) for (a, b), more in zip(upper, depth, strict=True)]
    draw.polygon(upper + lower[::-1], fill=dark)
    draw.line(upper, fill=dark, width=3)
    noise = rng.normal(0, 8, (96, 96))
    noisy = Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))
    return noisy.rotate(float(rng.normal(0, 8))).resize((48, 48), Image.Resampling.BILINEAR)
