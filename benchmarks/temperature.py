"""Which rule for the temperature does least harm where there are few validation images?

    python benchmarks/temperature.py [draws]

Networks and images are drawn: true classes with odds `g`, and a network that says `heat * g` and
some noise, so that it is too sure (heat > 1) or not sure enough. The best of EPOCHS such networks
by accuracy on the validation images is judged, as in a run. Every rule sees the validation images
alone; judged is on 2,000 other images. All is read from losses on one grid of temperatures.

Columns: `loss` is the mean log loss beyond that of the best temperature for the other images;
`worst` the 95 % quantile of it; `harm` how often the loss is higher than without a temperature, by
more than 0.001; `too sharp` how often it is by more than 0.01 beyond the best because the
temperature is lower than that; `too sure` by how much the mean confidence exceeds the accuracy,
where it does, in the 95 % quantile; `ece` the mean calibration error.
"""

import itertools
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np

CLASSES, HEATS, SPREADS, EPOCHS = (2, 10, 100), (0.4, 1.0, 2.5), (1.0, 2.5), (1, 10)
IMAGES = (10, 20, 50, 100, 200, 500, 1000)
OTHERS = 2000
GRID = np.linspace(np.log(0.05), np.log(20), 81)  # of log temperatures

Losses = np.ndarray  # mean log loss on the validation images at each of GRID, (G,)
Rule = Callable[[Losses, Losses, int], int]  # plain and smoothed losses, images: the place in GRID
ONE = int(np.abs(GRID).argmin())


def prior(below: float, above: float | None = None, *, smoothed: bool = False) -> Rule:
    """The most probable log temperature, if before it is normal around 0, with these spreads below
    and above 0."""
    spread = np.where(GRID < 0, below, above or below)
    return lambda plain, smooth, n: int(
        ((smooth if smoothed else plain) * n + GRID**2 / (2 * spread**2)).argmin()
    )


def evidence(width: float, *, hotter: bool = True) -> Rule:
    """The temperature nearest to 1 whose likelihood is within `width` standard errors of the best;
    without `hotter` only of those below 1, and above 1 the best."""

    def rule(plain: Losses, smooth: Losses, n: int) -> int:
        best = int(plain.argmin())
        if not hotter and GRID[best] > 0:
            return best
        inside = np.flatnonzero(n * (plain - plain[best]) <= width**2 / 2)
        return int(inside[np.abs(GRID[inside]).argmin()])

    return rule


def shrunk(images: float) -> Rule:
    """The best log temperature times n / (n + images)."""

    def rule(plain: Losses, smooth: Losses, n: int) -> int:
        return int(np.abs(GRID - GRID[plain.argmin()] * n / (n + images)).argmin())

    return rule


RULES: dict[str, Rule] = {
    "none: 1": lambda plain, smooth, n: ONE,
    "best (Guo)": lambda plain, smooth, n: int(plain.argmin()),
    "smoothed (Platt)": lambda plain, smooth, n: int(smooth.argmin()),
    "prior 1": prior(1.0),
    "prior 0.5": prior(0.5),
    "prior 0.25": prior(0.25),
    "prior 0.5, smoothed": prior(0.5, smoothed=True),
    "prior 0.25, smoothed": prior(0.25, smoothed=True),
    "prior 0.25 and 0.5, smoothed": prior(0.25, 0.5, smoothed=True),
    "prior 0.25 and 1, smoothed": prior(0.25, 1.0, smoothed=True),
    "prior 0.15 and 1, smoothed": prior(0.15, 1.0, smoothed=True),
    "n / (n + 20)": shrunk(20),
    "n / (n + 100)": shrunk(100),
    "within 1 error": evidence(1),
    "within 1.64 errors": evidence(1.64),
    "within 1.64 errors below 1": evidence(1.64, hotter=False),
}


def losses(logits: np.ndarray, labels: np.ndarray, *, smooth: bool = False) -> Losses:
    """The mean log loss of logits (N, C) at every temperature; see calibration.temperature."""
    n, classes = logits.shape
    logits = logits - logits.max(1, keepdims=True)
    own = logits[np.arange(n), labels]
    if smooth:
        right = (n + 1) / (n + 2)
        own = own * right + (logits.sum(1) - own) * (1 - right) / (classes - 1)
    heats = np.exp(GRID).astype(np.float32)
    return np.array([(np.log(np.exp(logits / t).sum(1)) - own / t).mean() for t in heats])


def diagrams(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At every temperature how much surer than right it is, and its error in 15 bins, (G,)."""
    right, over, error = logits.argmax(1) == labels, [], []
    logits = logits - logits.max(1, keepdims=True)
    for t in np.exp(GRID).astype(np.float32):
        sure = 1 / np.exp(logits / t).sum(1)
        over.append(sure.mean() - right.mean())
        bins = np.clip(np.ceil(sure * 15).astype(int) - 1, 0, 14)
        gap = np.bincount(bins, sure - right, minlength=15)
        error.append(np.abs(gap).sum() / len(sure))
    return np.array(over), np.array(error)


def draw(rng: np.random.Generator, classes: int, heat: float, spread: float, epochs: int, n: int):
    """Logits (epochs, n, classes) of networks for the same images, and the labels (n,)."""
    odds = spread * rng.standard_normal((n, classes), np.float32)
    labels = (odds + rng.gumbel(size=odds.shape)).argmax(1)
    noise = 0.3 * spread * rng.standard_normal((epochs, n, classes), np.float32)
    return heat * (odds + noise), labels


def simulate(draws: int) -> dict[tuple[str, int], list[tuple[float, ...]]]:
    """By rule and number of images: what stands in a row of the table."""
    found = defaultdict(list)
    rng = np.random.default_rng(0)
    for classes, heat, spread, epochs in itertools.product(CLASSES, HEATS, SPREADS, EPOCHS):
        others, truth = draw(rng, classes, heat, spread, 1, OTHERS)  # all epochs are as good
        beyond, (over, error) = losses(others[0], truth), diagrams(others[0], truth)
        best, beyond = beyond.argmin(), beyond - beyond.min()
        for _, n in itertools.product(range(draws), IMAGES):
            logits, labels = draw(rng, classes, heat, spread, epochs, n)
            chosen = logits[(logits.argmax(2) == labels).mean(1).argmax()]
            plain, smooth = losses(chosen, labels), losses(chosen, labels, smooth=True)
            for name, rule in RULES.items():
                at = rule(plain, smooth, n)
                harm = float(beyond[at] > beyond[ONE] + 0.001)
                sharp = float(at < best and beyond[at] > 0.01)
                found[name, n].append((beyond[at], harm, sharp, over[at], error[at]))
    return found


def table(found: dict[tuple[str, int], list[tuple[float, ...]]], draws: int) -> str:
    """The result as Markdown: a table for each number of images."""
    text = [f"# {__doc__.splitlines()[0]}", "", f"`python benchmarks/temperature.py {draws}`", ""]
    text += [__doc__.split("\n\n", 2)[2].strip(), ""]
    for n in IMAGES:
        text += [f"## {n} validation images", ""]
        text += ["| rule | loss | worst | harm | too sharp | too sure | ece |"]
        text += ["|---|---:|---:|---:|---:|---:|---:|"]
        for name in RULES:
            loss, harm, sharp, over, error = np.array(found[name, n]).T
            cells = (
                f"{loss.mean():.4f}",
                f"{np.quantile(loss, 0.95):.3f}",
                f"{harm.mean():.1%}",
                f"{sharp.mean():.1%}",
                f"{max(0.0, np.quantile(over, 0.95)):.3f}",
                f"{error.mean():.3f}",
            )
            text.append(f"| {name} | {' | '.join(cells)} |")
        text.append("")
    return "\n".join(text)


if __name__ == "__main__":
    draws = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    made = table(simulate(draws), draws)
    Path(__file__).with_name("results").joinpath("temperature.md").write_text(made + "\n")
    print(made)
