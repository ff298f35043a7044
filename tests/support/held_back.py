"""Learning curves whose future is known: classifiers in closed form on real and made features.

A case is fitted on small nested subsets, as `collect` would, and its truth is what trainings on two
and four times the images, held back from it, give on other images than the validation ones.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from learning_curves import make_collect, points_on
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from regraft.collect import measure
from regraft.curve import Point
from regraft.forecast import forecast

Data = tuple[np.ndarray, np.ndarray]  # features (N, D) and labels (N,)
Train = Callable[[np.ndarray, np.ndarray], Callable[[np.ndarray], np.ndarray]]
VALIDATED = 18  # images of a class, as the digits have
FACTORS = (2, 4)


@dataclass(frozen=True)
class Held:
    """What was forecast for 2 and 4 times the images, each with its interval, and the truth."""

    kind: str
    refused: bool  # where the curve falls or is mostly noise: nothing is forecast
    forecast: tuple[float, ...]
    intervals: tuple[tuple[float, float], ...]
    truth: tuple[float, ...]

    @property
    def covered(self) -> list[bool]:
        pairs = zip(self.intervals, self.truth, strict=True)
        return [low <= true <= high for (low, high), true in pairs]


def ridge(x: np.ndarray, y: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Least squares on standardised features, with a penalty."""
    mean, spread = x.mean(0), x.std(0) + 1e-6 * (1 + x.std())
    z, targets = (x - mean) / spread, np.eye(y.max() + 1)[y]
    gram = z.T @ z + 0.1 * z.shape[1] * np.eye(z.shape[1])
    weights = np.linalg.solve(gram, z.T @ (targets - targets.mean(0)))
    return lambda q: ((q - mean) / spread @ weights + targets.mean(0)).argmax(1)


def centroid(x: np.ndarray, y: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    means = np.stack([x[y == label].mean(0) for label in range(y.max() + 1)])
    return lambda q: (q @ means.T - (means**2).sum(1) / 2).argmax(1)


def discriminant(x: np.ndarray, y: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Linear discriminant analysis, its covariance shrunk."""
    means = np.stack([x[y == label].mean(0) for label in range(y.max() + 1)])
    covariance = np.cov((x - means[y]).T, bias=True)
    floor = 0.2 * np.trace(covariance) / len(covariance) + 1e-9
    scaled = np.linalg.solve(0.8 * covariance + floor * np.eye(len(covariance)), means.T)
    return lambda q: (q @ scaled - (means * scaled.T).sum(1) / 2).argmax(1)


def nearest(x: np.ndarray, y: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    return lambda q: y[((x**2).sum(1) - 2 * q @ x.T).argmin(1)]


def logistic(x: np.ndarray, y: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    mean, spread = x.mean(0), x.std(0) + 1e-6 * (1 + x.std())
    model = LogisticRegression(C=0.1, max_iter=300).fit((x - mean) / spread, y)
    return lambda q: model.predict((q - mean) / spread)


CHEAP: dict[str, Train] = {
    "ridge": ridge,
    "centroid": centroid,
    "discriminant": discriminant,
    "nearest neighbour": nearest,
}


def digits() -> Data:
    data = load_digits()
    return data.data / 16, data.target


def mixture(seed: int, *, width: int, classes: int, apart: float, lumps: int) -> Data:
    """Classes of several Gaussian lumps each, some features wider than others; 320 of each."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(classes, lumps, width)) * 3 * apart / np.sqrt(width)
    labels = np.repeat(np.arange(classes), 320)
    lump = rng.integers(0, lumps, len(labels))
    noise = rng.normal(size=(len(labels), width)) * rng.uniform(0.5, 2, width)
    return centres[labels, lump] + noise, labels


MIXTURES = {
    "easy mixture": {"width": 25, "classes": 8, "apart": 1.8, "lumps": 1},
    "middling mixture": {"width": 30, "classes": 10, "apart": 1.0, "lumps": 1},
    "lumpy mixture": {"width": 20, "classes": 6, "apart": 1.4, "lumps": 3},
    "mixture of many": {"width": 30, "classes": 20, "apart": 1.3, "lumps": 2},
}


def case(kind: str, data: Data, train: Train, *, now: int, seed: int) -> Held:
    """One curve up to `now` images per class, and what four times as many held back give."""
    x, y = data
    rng = np.random.default_rng([11, seed])
    orders = [rng.permutation(np.flatnonzero(y == label)) for label in range(y.max() + 1)]

    def part(start: int, end: int | None) -> np.ndarray:
        return np.concatenate([order[start:end] for order in orders])

    val, test = part(0, VALIDATED), part(VALIDATED + 4 * now, None)

    def score(chosen: np.ndarray, on: np.ndarray) -> float:
        return float((train(x[chosen], y[chosen])(x[on]) == y[on]).mean())

    pool = part(VALIDATED, VALIDATED + now)
    points: Sequence[Point] = measure(
        make_collect(), y[pool], lambda subset, _: score(pool[subset], val), seed=seed
    )
    found = forecast(points, 0.999, val_images=len(val))
    curve = found.curve
    bands = curve.band(now * np.array(FACTORS)).T.tolist()
    return Held(
        kind,
        found.gains is None,
        tuple(float(curve.acc(factor * now)) for factor in FACTORS),
        tuple((low, high) for low, high in bands),
        tuple(score(part(VALIDATED, VALIDATED + factor * now), test) for factor in FACTORS),
    )


def cases(seeds: range, trains: dict[str, Train], real: dict[str, Data]) -> Iterator[Held]:
    """Every classifier on every kind of data, with up to 6, 10, 20 or 30 images per class."""
    for seed in seeds:
        made = {name: mixture(seed, **kind) for name, kind in MIXTURES.items()}
        for row, (name, data) in enumerate((real | made).items()):
            for column, (kind, train) in enumerate(trains.items()):
                now = (6, 10, 20, 30)[(seed + row + column) % 4]
                yield case(f"{name}, {kind}", data, train, now=now, seed=seed)


def covered(gamma: float, seeds: range) -> tuple[int, int]:
    """In how many cases with known laws the interval of the accuracy, and that of the images that
    are needed, hold the truth at three times the images."""
    accs = answers = 0
    truth = 0.95 - 0.45 * 60**gamma
    for seed in seeds:
        points = points_on(0.05, 0.45, full=20, noise=0.05, gamma=gamma, seed=seed)
        found = forecast(points, truth)
        low, high = found.curve.band(60.0)[:, 0]
        accs += low <= truth <= high
        total = found.per_class_total
        answers += total is not None and total["low"] <= 60 <= (total["high"] or np.inf)
    return int(accs), int(answers)


LEAST = 0.85  # of the cases, where the interval is nominally 90 %


def check(every: Sequence[Held]) -> None:
    """Intervals hold the truth as often as they say, and are too narrow to hold anything else."""
    found = [one for one in every if not one.refused]
    assert len(found) >= 0.97 * len(every)
    held = np.array([one.covered for one in found])
    wide = np.array([np.diff(one.intervals)[:, 0] for one in found])
    off = np.abs([np.subtract(one.forecast, one.truth) for one in found])
    assert held.mean(0).min() >= LEAST
    assert np.median(wide, axis=0).max() < 0.18  # or anything would be held
    assert (off.mean(0) < (0.035, 0.045)).all()


def table(found: Sequence[Held], by: Callable[[Held], str]) -> str:
    """How often the truth was held, how wide intervals are and how far off forecasts, as text."""
    groups: dict[str, list[Held]] = {}
    found = [one for one in found if not one.refused]
    for one in found:
        groups.setdefault(by(one), []).append(one)
    lines = [
        f"{'':18} {'cases':>6} {'held 2×':>8} {'4×':>5} {'wide 2×':>8} {'4×':>6} "
        f"{'off 2×':>7} {'4×':>6}"
    ]
    for name, some in [*sorted(groups.items()), ("all", list(found))]:
        held = np.mean([one.covered for one in some], axis=0)
        wide = np.median([np.diff(one.intervals)[:, 0] for one in some], axis=0)
        off = np.mean([np.abs(np.subtract(one.forecast, one.truth)) for one in some], axis=0)
        lines.append(
            f"{name:18} {len(some):6} {held[0]:8.0%} {held[1]:5.0%} "
            f"{wide[0]:8.3f} {wide[1]:6.3f} {off[0]:7.3f} {off[1]:6.3f}"
        )
    return "\n".join(lines)
