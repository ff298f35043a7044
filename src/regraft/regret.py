"""Was the advice right? What `strategy=auto` lost against the best strategy of the same sweep."""

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from regraft.comparison import Cell, Row, Sweep
from regraft.statistics import paired

AUTO = "auto"


@dataclass(frozen=True)
class Regret:
    """Of one cell of a sweep: accuracies are means over its runs on the test images."""

    advised: dict[str, int]  # strategy → in how many runs
    acc: float
    best: str
    best_acc: float
    interval: tuple[float, float] | None  # 95 % of that difference, paired; None if not known
    right: bool  # whether the advised cannot be told from the best
    seconds: float  # of an advised run, the advice included
    seconds_of_others: float  # what a run of each of the other strategies takes together
    floors: dict[str, float]

    @property
    def points(self) -> float:
        """Percentage points of accuracy that the best strategy is better by; below 0 if worse."""
        return 100 * (self.best_acc - self.acc)

    @property
    def told(self) -> str:
        """right, wrong, or that these images and seeds cannot tell."""
        if self.best == AUTO:
            return "right"
        return "not wrong, as far as these runs can tell" if self.right else "wrong"

    @property
    def words(self) -> str:
        """The verdict in a few sentences."""
        names = ", ".join(
            f"{name} ({count} runs)" if len(self.advised) > 1 else name
            for name, count in self.advised.items()
        )
        verdict = f"auto ({self.acc:.3f}) is the best"
        if self.best != AUTO:
            low, high = self.interval or (0.0, 0.0)
            doubt = f" ({100 * low:.1f} to {100 * high:.1f})" if self.interval else ""
            verdict = (
                f"auto ({self.acc:.3f}) {'ties with' if self.right else 'is worse than'} "
                f"{self.best} ({self.best_acc:.3f}): regret {self.points:.1f} points{doubt}"
            )
        above = [name for name, acc in self.floors.items() if acc > self.acc]
        floors = "; ".join(f"{name} {acc:.3f}" for name, acc in self.floors.items())
        floors += f"; {' and '.join(above)} did better than all that training" if above else ""
        return (
            f"The advice, {names}, was {self.told}: {verdict}. "
            f"A run of it took {self.seconds:.1f} s; one of every other strategy, together "
            f"{self.seconds_of_others:.1f} s.{f' Floors: {floors}.' if floors else ''}"
        )


def regrets(sweep: Sweep) -> dict[str, Regret]:
    """The regret of every cell in which `auto` ran beside another strategy, by its title."""
    found = ((cell, regret(cell)) for cell in sweep.cells)
    return {cell.title or cell.data: made for cell, made in found if made}


def regret(cell: Cell) -> Regret | None:
    """What the advice was worth in this cell; None if it was not followed, or alone."""
    rows = {row.name: row for row in cell.rows if row.scores}
    auto, verdict = rows.get(AUTO), cell.verdict
    if auto is None or auto.scores is None or not verdict or not verdict.comparisons:
        return None
    others = [row for name, row in rows.items() if name != AUTO]
    best = rows[verdict.best]
    assert best.scores is not None
    return Regret(
        advised=dict(Counter(_advised(job.advice) for job in auto.counted)),
        acc=auto.scores.mean,
        best=best.name,
        best_acc=best.scores.mean,
        interval=paired(best.scores, auto.scores),
        right=AUTO in verdict.winners,
        seconds=auto.mean("cost", "wall_s") or 0.0,
        seconds_of_others=math.fsum(row.mean("cost", "wall_s") or 0.0 for row in others),
        floors=_floors(auto),
    )


def as_json(sweep: Sweep) -> str | None:
    """The regrets by cell as regret.json of the sweep's folder has them; None without one."""
    made = {
        place: asdict(lost) | {"points": round(lost.points, 4)}
        for place, lost in regrets(sweep).items()
    }
    return f"{json.dumps(made, indent=2)}\n" if made else None


def _advised(advice: Mapping[str, Any]) -> str:
    """The strategy of an advice, and its learning rates where they are not the strategy's own."""
    words = [word for one in advice.get("choices") or [] for word in one.get("words", "").split()]
    if not words:
        return "unknown"
    rates = [word for word in words if word.startswith("optimizer.")]
    return " ".join([words[0].partition("=")[2], *rates])


def _floors(row: Row) -> dict[str, float]:
    """The means over the runs of what no training reaches."""
    each: dict[str, list[float]] = {}
    for name, acc in _all_floors(row):
        each.setdefault(name, []).append(acc)
    return {name: math.fsum(accs) / len(accs) for name, accs in each.items()}


def _all_floors(row: Row) -> Iterator[tuple[str, float]]:
    for job in row.counted:
        found = job.advice.get("floors")
        yield from found.items() if isinstance(found, dict) else ()
