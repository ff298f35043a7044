"""Points on known learning curves, as `collect` would measure them."""

import numpy as np

from regraft.classwise import Judged
from regraft.collect import Collect
from regraft.curve import Point


def make_collect(*, target_acc: float = 0.9, sizes: int = 6, replicates: int = 3) -> Collect:
    return Collect(
        name="collect", quadrant=None, target_acc=target_acc, sizes=sizes, replicates=replicates
    )


def points_on(
    alpha: float, eta: float, *, full: int, noise: float = 0.0, gamma: float = -0.5, seed: int = 0
) -> list[Point]:
    """Points on a known curve; `noise` is the spread of a replicate's score at one per class."""
    rng = np.random.default_rng(seed)
    return [
        Point(
            n, r, float(1 - np.clip(alpha + eta * n**gamma + rng.normal(0, noise / n**0.5), 0, 1))
        )
        for r in range(3)
        for n in make_collect().subset_sizes(full)
    ]


def falling() -> list[Point]:
    return [Point(n, r, 0.8 - 0.01 * n + 0.001 * r) for n in (1, 2, 4, 8, 16) for r in range(3)]


def judged(images: tuple[int, ...] = (60, 40, 5)) -> list[Judged]:
    """What three classes were said to be as images were added: the first loses to the second."""
    found = []
    for n in (5, 10, 20):
        for replicate in range(3):
            wrong = [round(m * 0.8 / n**0.5) for m in images]
            counts = np.diag([m - w for m, w in zip(images, wrong, strict=True)])
            counts[0, 1], counts[1, 2], counts[2, 0] = wrong
            found.append(Judged(n, replicate, counts))
    return found
