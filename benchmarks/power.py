"""How often a verdict over a sweep is wrong, and which lead it finds: `make power`.

Sweeps are drawn whose true accuracies are known. Of what makes an image hard, half is the same for
all strategies, a seventh belongs to the strategy and the image whatever the seed, the rest to a
single run: about what two networks share. The luck of a seed is 30 % the same for all strategies.
The table says how often equal strategies get a winner, or a loser; the picture which lead is found.
On the command line: sweeps=2000 for the table of errors, found=200 for the rest; or its parts:
curves, candidates, errors.
"""

import datetime
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from matplotlib.ticker import PercentFormatter
from scipy import special, stats

from regraft.figures.canvas import INK, drawing, legend_below
from regraft.statistics import (
    LEVEL,
    Answers,
    Scores,
    compare,
    holm,
    judge,
    luck_of,
    over_images,
    paired_t,
)

ROOT = Path(__file__).parents[1]
SEEDS = (1, 2, 3, 5, 10)
ALIKE, OWN, COMMON = 0.5, 0.15, 0.3  # shares of variance, see above
ACC = 0.85
LEADS = (0, 1, 2, 3, 4, 5, 6, 8, 10)  # points


@dataclass(frozen=True)
class Design:
    """So many strategies, seeds and test images; the standard deviation of an accuracy over seeds
    in points, of the first two strategies and of the others; whether each seed has its own test
    images."""

    strategies: int
    seeds: int
    images: int
    spread: tuple[float, float]
    splits: bool = False

    def accs(self, lead: float = 0.0) -> list[float]:
        """The first one leads by so many points."""
        return [ACC + lead / 100, *[ACC] * (self.strategies - 1)]

    def two_lead(self) -> list[float]:
        """Two are equal, and 10 points better than the others."""
        return [ACC, ACC, *[ACC - 0.1] * (self.strategies - 2)]


def draw(rng: np.random.Generator, design: Design, accs: Sequence[float]) -> list[Scores]:
    """A sweep of strategies with these true accuracies."""
    sets = design.seeds if design.splits else 1
    size = (sets, design.images)
    hard = math.sqrt(ALIKE) * rng.standard_normal(size, np.float32)
    common, made = rng.normal(size=design.seeds), []
    for number, acc in enumerate(accs):
        luck = math.sqrt(COMMON) * common + math.sqrt(1 - COMMON) * rng.normal(size=design.seeds)
        true = np.clip(acc + design.spread[number > 1] / 100 * luck, 0.01, 0.99)
        own = hard + math.sqrt(OWN) * rng.standard_normal(size, np.float32)
        alone = rng.standard_normal((design.seeds, design.images), np.float32)
        right = own + math.sqrt(1 - ALIKE - OWN) * alone < special.ndtri(true)[:, None]
        answers = {(-1, seed): Answers(str(seed % sets), one) for seed, one in enumerate(right)}
        means = {repeat: float(one.correct.mean()) for repeat, one in answers.items()}
        made.append(Scores(str(number), means, design.images * sets, answers))
    return made


Rule = Callable[[Sequence[Scores]], tuple[str, ...]]  # the winners: one alone, or all that tie


def before(sweep: Sequence[Scores]) -> tuple[str, ...]:
    """The larger p of each pair's t test and of McNemar's, Holm's correction."""
    best, others = _best(sweep)
    ps = []
    for one in others:
        shared = sorted(best.acc)
        doubts = [over_images(best, one, shared) or 0.0]
        if len(shared) > 1:
            doubts.append(paired_t([best.acc[seed] - one.acc[seed] for seed in shared]))
        ps.append(max(doubts))
    return _winners(best, others, holm(ps))


def dunnett(sweep: Sequence[Scores]) -> tuple[str, ...]:
    """Dunnett's test against the best on the pooled variance of the seeds, images not asked."""
    best, others = _best(sweep)
    seeds = len(best.acc)
    pooled = np.mean([np.var([*one.acc.values()], ddof=1) for one in sweep])
    scale = math.sqrt(2 * pooled / seeds) or 1e-12
    critical = _dunnett(len(sweep), len(sweep) * (seeds - 1))
    worse = [0.0 if (best.mean - one.mean) / scale > critical else 1.0 for one in others]
    return _winners(best, others, worse)


@cache
def _dunnett(strategies: int, freedom: int) -> float:
    """The two-sided critical value of Dunnett's test."""
    rng = np.random.default_rng(0)
    means = rng.normal(size=(200_000, strategies))
    scale = np.sqrt(2 * rng.chisquare(freedom, 200_000) / freedom)
    return float(np.quantile(np.abs(means[:, 1:] - means[:, :1]).max(axis=1) / scale, LEVEL))


def seeds_alone(sweep: Sequence[Scores]) -> tuple[str, ...]:
    """A t test on the pooled variance of the seeds, paired, images not asked."""
    best, others = _best(sweep)
    luck = luck_of(sweep)
    assert luck
    variance = 2 * luck.variance / len(best.acc)
    ts = [(best.mean - one.mean) / math.sqrt(variance) for one in others]
    return _winners(best, others, [2 * stats.t.sf(t, luck.freedom) for t in ts])


def own_variance(sweep: Sequence[Scores]) -> tuple[str, ...]:
    """The verdict, with no less than what the seeds of each pair scatter by."""
    best, others = _best(sweep)
    luck, ps = luck_of(sweep), []
    for one in others:
        pair, alone = compare(best, one, luck), compare(best, one).doubt
        assert pair.doubt and alone
        seeds = max(pair.doubt.seeds, alone.seeds)
        ps.append(replace(pair.doubt, seeds=seeds).p(pair.behind))
    return _winners(best, others, ps)


def verdict(sweep: Sequence[Scores]) -> tuple[str, ...]:
    """What regraft says."""
    return judge(sweep).winners


RULES: dict[str, Rule] = {
    "before: t per pair and McNemar, Holm": before,
    "Dunnett against the best, seeds alone": dunnett,
    "t on the pooled variance, seeds alone": seeds_alone,
    "seeds and images, no less than a pair's own": own_variance,
    "seeds and images, the pooled variance (now)": verdict,
}


def _best(sweep: Sequence[Scores]) -> tuple[Scores, list[Scores]]:
    best = max(sweep, key=lambda one: one.mean)
    return best, [one for one in sweep if one is not best]


def _winners(best: Scores, others: Sequence[Scores], ps: Sequence[float]) -> tuple[str, ...]:
    tied = [one.name for one, p in zip(others, ps, strict=True) if p >= 1 - LEVEL]
    return (best.name, *tied)


def rates(
    rule: Rule, design: Design, accs: Sequence[float], sweeps: int
) -> tuple[float, float, float]:
    """In which share of sweeps there is one winner, it is the first, and there is any loser."""
    rng = np.random.default_rng(sweeps)
    found = [rule(draw(rng, design, accs)) for _ in range(sweeps)]
    return (
        sum(len(one) == 1 for one in found) / sweeps,
        sum(one == ("0",) for one in found) / sweeps,
        sum(len(one) < design.strategies for one in found) / sweeps,
    )


def candidates(sweeps: int) -> Iterator[str]:
    """Ways to decide, side by side: four strategies, 1,000 test images."""
    head = ("way to decide", "seeds", "points over seeds", "false winner, all equal")
    yield f"| {' | '.join((*head, 'false winner, two lead', 'lead of 5 found'))} |"
    yield "|---|---:|---:|---:|---:|---:|"
    for name, rule in RULES.items():
        for seeds in (3, 10):
            for spread in ((1.0, 1.0), (1.5, 1.5), (2.0, 0.5)):
                design = Design(4, seeds, 1000, spread)
                equal = rates(rule, design, design.accs(), sweeps)[0]
                two = rates(rule, design, design.two_lead(), sweeps)[0]
                lead = rates(rule, design, design.accs(5), sweeps)[1]
                cells = [
                    name,
                    str(seeds),
                    _spread(spread),
                    *(f"{x:.1%}" for x in (equal, two, lead)),
                ]
                yield f"| {' | '.join(cells)} |"


def errors(sweeps: int) -> Iterator[str]:
    """How often equal strategies get a winner / any loser, over many designs."""
    yield f"| strategies | test images | points over seeds | {' | '.join(map(_seeds, SEEDS))} |"
    yield f"|---:|---|---:|{'---:|' * len(SEEDS)}"
    ways = (1.0, 1.0), (2.0, 2.0), (2.0, 0.5)
    places = [(4, 1000, False, spread) for spread in ways]
    places += [(2, 1000, False, ways[0]), (7, 1000, False, ways[0])]
    places += [(4, 100, False, ways[0]), (4, 1000, True, ways[0])]
    for strategies, images, splits, spread in places:
        designs = [Design(strategies, n, images, spread, splits) for n in SEEDS]
        found = [rates(verdict, one, one.accs(), sweeps) for one in designs]
        cells = [str(strategies), f"{images}{' of each seed' if splits else ''}"]
        cells += [_spread(spread), *(f"{f[0]:.1%} / {f[2]:.1%}" for f in found)]
        yield f"| {' | '.join(cells)} |"


def curves(sweeps: int) -> dict[tuple[str, float], dict[int, list[float]]]:
    """The share of sweeps that find a lead: of four strategies, 1,000 test images."""
    found: dict[tuple[str, float], dict[int, list[float]]] = {}
    for spread in (1.0, 2.0):
        for name, rule in (("before", before), ("now", verdict)):
            found[name, spread] = {
                seeds: [rates(rule, design, design.accs(lead), sweeps)[1] for lead in LEADS]
                for seeds in (SEEDS if rule is verdict else (3,))
                for design in [Design(4, seeds, 1000, (spread, spread))]
            }
    return found


def curve_table(found: dict[tuple[str, float], dict[int, list[float]]]) -> Iterator[str]:
    yield f"| points over seeds | seeds | | {' | '.join(f'lead {lead}' for lead in LEADS)} |"
    yield f"|---:|---:|---|{'---:|' * len(LEADS)}"
    for (name, spread), lines in found.items():
        for seeds, shares in lines.items():
            cells = [f"{spread:g}", str(seeds), name, *(f"{share:.0%}" for share in shares)]
            yield f"| {' | '.join(cells)} |"


def picture(found: dict[tuple[str, float], dict[int, list[float]]], path: Path) -> None:
    """Found over lead: a panel per spread over seeds, a line per number of seeds."""
    dashes = (":", (0, (5, 1, 1, 1, 1, 1)), "--", "-.", "-")
    looks = dict(zip(SEEDS, zip("xvosD", dashes, strict=True), strict=True))
    with drawing(path, 8.6, 4.1, 150) as figure:
        figure.set_layout_engine("constrained")
        panels = figure.subplots(1, 2, sharey=True)
        for axes, spread in zip(panels, (1.0, 2.0), strict=True):
            for seeds, shares in found["now", spread].items():
                marker, dash = looks[seeds]
                label = _seeds(seeds) + " (luck not known)" * (seeds == 1)
                look = {"color": INK, "ms": 5, "mfc": "white", "lw": 1.2}
                axes.plot(LEADS, shares, marker=marker, ls=dash, label=label, **look)
            old = {"color": "#b0b0b0", "lw": 3, "zorder": 0, "label": "3 seeds, before"}
            axes.plot(LEADS, found["before", spread][3], **old)
            axes.axhline(0.8, color=INK, lw=0.6, ls=(0, (4, 4)))
            points = f"{spread:g} point{'s' * (spread > 1)}"
            axes.set_title(f"standard deviation over seeds: {points}", fontsize=9)
            axes.set_xlabel("true lead over the three others, percentage points")
            axes.yaxis.set_major_formatter(PercentFormatter(1.0))
            axes.set_ylim(-0.02, 1.03)
            axes.grid(alpha=0.25)
        panels[0].set_ylabel("sweeps in which it is the winner")
        legend_below(figure, panels, 6)
        title = "Which lead is found: four strategies, 1,000 test images"
        figure.suptitle(title, fontsize=10, weight="bold")


def _seeds(number: int) -> str:
    return f"{number} seed{'s' * (number > 1)}"


def _spread(spread: tuple[float, float]) -> str:
    return f"{spread[0]:g}" if spread[0] == spread[1] else f"{spread[0]:g}, others {spread[1]:g}"


def main() -> None:
    words = sys.argv[1:]
    given = {w.partition("=")[0]: int(w.partition("=")[2]) for w in words if "=" in w}
    parts = [word for word in words if "=" not in word] or ["curves", "candidates", "errors"]
    sweeps, few = given.get("sweeps", 2000), given.get("found", 200)
    path = ROOT / "benchmarks" / "results" / f"{datetime.date.today()}-power.md"
    lines = [f"# {datetime.date.today()}: verdicts over sweeps that are drawn", ""]
    lines += [*(__doc__ or "").split("\n\n", 1)[1].splitlines()[:4]]

    def tell(title: str, rows: Iterator[str]) -> None:
        lines.extend(["", f"## {title}", ""])
        for row in rows:
            print(row, flush=True)
            lines.append(row)
            path.write_text("\n".join([*lines, ""]))

    if "curves" in parts:
        found = curves(few)
        tell(f"Share of {few:,} sweeps that find a lead, in points", curve_table(found))
        picture(found, ROOT / "docs" / "power.png")
    if "candidates" in parts:
        tell(f"Ways to decide, of {few:,} sweeps each", candidates(few))
    if "errors" in parts:
        title = "False winner / any loser among equal strategies"
        tell(f"{title}, of {sweeps:,} sweeps", errors(sweeps))


if __name__ == "__main__":
    main()
