"""Our images: woven fabric under a camera, whole or with one of three faults. Made by a formula."""

from typing import Annotated

import numpy as np
from annotated_types import Ge

from regraft.data.sources import Count, PerClass, Share, Source, Split

CLASSES = ("hole", "missing_thread", "stain", "whole")


def fabric(
    seed: int,
    *,
    train: Count,
    val: Count,
    test: Count,
    size: Annotated[int, Ge(16)],
    per_class: PerClass,
    fraction: Share,
) -> Source:
    """`train`, `val` and `test` images of each class, `size` pixels square, grey.

    The same images for any `seed`, which draws the subset of `per_class` or `fraction`.
    """
    splits = {
        name: split(name, count, size, np.random.default_rng(number))
        for number, (name, count) in enumerate({"train": train, "val": val, "test": test}.items())
    }
    whole = Source("fabric", CLASSES, **splits)
    return whole.few(seed, per_class=per_class, fraction=fraction)


def split(name: str, count: int, size: int, random: np.random.Generator) -> Split:
    """So many images of each class."""
    labels = np.repeat(np.arange(len(CLASSES), dtype=np.int64), count)
    images = np.stack([photograph(CLASSES[label], size, random) for label in labels])
    return Split(images, labels, tuple(f"{name}/{index}" for index in range(len(labels))))


def photograph(fault: str, size: int, random: np.random.Generator) -> np.ndarray:
    """Threads across and along at some angle, uint8 (size, size), with the fault somewhere."""
    y, x = np.mgrid[0:size, 0:size] / size
    angle, threads = random.uniform(-0.2, 0.2), random.uniform(7, 9)
    u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    cloth = 0.55 + 0.12 * np.sin(2 * np.pi * threads * u) + 0.12 * np.sin(2 * np.pi * threads * v)
    at_x, at_y = random.uniform(0.25, 0.75, size=2)
    distance = np.hypot(x - at_x, y - at_y) / random.uniform(0.1, 0.2)
    if fault == "hole":
        cloth[distance < 1] = 0.05
    elif fault == "stain":
        cloth *= 1 - 0.5 * np.exp(-((distance / 1.5) ** 2))
    elif fault == "missing_thread":
        cloth[np.abs(v - (at_y * np.cos(angle) - at_x * np.sin(angle))) < 0.6 / threads] += 0.25
    noisy = cloth + random.normal(0, 0.05, cloth.shape)
    return (noisy.clip(0, 1) * 255).astype(np.uint8)
