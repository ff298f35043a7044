"""What an ensemble is worth, in sentences and rows, for the terminal and for Markdown alike."""

import math

from regraft.ensemble.choose import Combination, Ensemble, alone, interval
from regraft.ensemble.members import Member
from regraft.escaping import printable

ALONE = "best member alone"
# With the longest name and its star, they fit a terminal of 80 columns.
TRIED = ("combination", "runs", "val acc", "val loss", "test acc", "95 % interval", "params")
USED = (
    *("run", "weight", "val acc", "without", "val loss", "without", "test acc", "settings"),
    *("parameters", "training"),
)
HOW = (
    "Weights and choices saw the validation images only, so accuracies there flatter what was "
    "chosen by them, the more the fewer images there are; the test images chose nothing. What is "
    "chosen has the highest validation accuracy (then the least log loss), and the best member "
    "alone competes: it is never below that one on the validation images. *greedy* adds one run "
    "after the other, also repeatedly (Caruana et al. 2004), *weighted* has the weights of the "
    "least log loss, *mean* takes all alike. *without* is what the chosen combination were without "
    "the run, the others in proportion. Intervals are Wilson's, that of a difference Bonett and "
    "Price's, over the test images: other seeds may say otherwise."
)


def named(combination: Combination) -> str:
    return ALONE if combination.method == "best" else combination.method


def about(ensemble: Ensemble) -> str:
    """What is combined, in a sentence."""
    members = ensemble.members
    sizes = [f"{len(members.labels[split]):,}" for split in ("val", "test")]
    text = f"{len(members.runs)} runs, judged on the same {sizes[0]} validation and {sizes[1]} test"
    return f"{text} images of {len(members.classes)} classes"


def verdict(ensemble: Ensemble) -> list[str]:
    """What is chosen, how much better it is, and what it costs; and of the soup the same."""
    return [*_chosen(ensemble), *soup(ensemble)]


def _chosen(ensemble: Ensemble) -> list[str]:
    best, chosen = ensemble.best, ensemble.chosen
    run = ensemble.members.runs[best.used[0]]
    whom = f"run {run.label} ({run.name})" if run.name else f"run {run.label}"
    if not ensemble.pays:
        several = len(ensemble.tried) > 2
        who = "no combination beats" if several else f"{ensemble.tried[-1].method} does not beat"
        return [f"{who} the best member alone on the validation images: use {whom}"]
    val, test = (chosen.scores[split].acc for split in ("val", "test"))
    low, high = interval(test, ensemble.members.labels["test"])
    return [
        f"{named(chosen)}, of {len(chosen.used)} runs, has {val:.3f} on the validation images; the "
        f"best member alone, {whom}, {best.scores['val'].acc:.3f}",
        f"on the test images {test:.3f} ({low:.3f} to {high:.3f}) and "
        f"{best.scores['test'].acc:.3f}: {ensemble.difference(chosen).words}",
        cost(ensemble),
    ]


def soup(ensemble: Ensemble) -> list[str]:
    """What the mean of the weights is worth; nothing where it was not asked for."""
    if (made := ensemble.soup) is None:
        return []
    val, test = (made.scores[split].acc for split in ("val", "test"))
    among = f"{len(made.used)} of {len(ensemble.members.runs)} runs"
    if len(made.used) < 2:
        return [
            "soup: each other run's weights cost accuracy on the validation images; none is made"
        ]
    low, high = interval(test, ensemble.members.labels["test"])
    return [
        f"soup: the mean weights of {among} have {val:.3f} on the validation images, and on the "
        f"test images {test:.3f} ({low:.3f} to {high:.3f}), against the best member alone "
        f"{ensemble.difference(made).words}; it is one network"
    ]


def cost(ensemble: Ensemble) -> str:
    """What is chosen against the best member alone, in parameters, passes and training."""
    mine, theirs = (ensemble.cost(one) for one in (ensemble.chosen, ensemble.best))
    parts = [f"{mine['passes']:.0f} networks per image instead of 1"]
    if (params := mine["params_total"]) is not None:
        ratio = times(params, theirs["params_total"])
        parts.append(f"{count(params)} parameters{f' ({ratio})' if ratio else ''}")
    if (seconds := mine["fit_s"]) is not None:
        ratio = times(seconds, theirs["fit_s"])
        parts.append(f"{seconds:,.0f} s of training{f' ({ratio})' if ratio else ''}")
    return f"it costs {', '.join(parts)}"


def tried(ensemble: Ensemble) -> list[list[str]]:
    """A row per combination, see TRIED; the chosen one has a star."""
    return [_row(ensemble, one) for one in ensemble.rows]


def _row(ensemble: Ensemble, one: Combination) -> list[str]:
    val, test = one.scores["val"], one.scores["test"]
    low, high = interval(test.acc, ensemble.members.labels["test"])
    params = ensemble.cost(one)["params_total"]
    return [
        f"{named(one)}{' *' * (one is ensemble.chosen)}",
        str(len(one.used)),
        f"{val.acc:.3f}",
        f"{val.loss:.3f}",
        f"{test.acc:.3f}",
        f"{low:.3f} to {high:.3f}",
        "" if params is None else count(params),
    ]


def used(ensemble: Ensemble) -> list[list[str]]:
    """A row per run, the best first, see USED: its weight in what is chosen, and what that were
    without it."""
    return [_member(ensemble, index, run) for index, run in enumerate(ensemble.members.runs)]


def _member(ensemble: Ensemble, index: int, run: Member) -> list[str]:
    share = float(ensemble.chosen.shares[index])
    less = ensemble.without(index) if share else None
    return [
        run.label,
        f"{share:.3f}" if share else "",
        f"{run.val.acc:.3f}",
        f"{less.acc:.3f}" if less else "",
        f"{run.val.loss:.3f}",
        f"{less.loss:.3f}" if less else "",
        f"{alone(ensemble.members, run, 'test').acc:.3f}",
        run.name,
        count(params) if isinstance(params := run.job.cost.get("params_total"), int) else "",
        f"{seconds:,.0f} s" if isinstance(seconds := run.job.cost.get("fit_s"), float) else "",
    ]


def left_out(ensemble: Ensemble) -> list[str]:
    """A line per run that has no result."""
    jobs = ensemble.members.left_out
    return [printable(f"left out: run {job.folder.name}: {job.error}") for job in jobs]


def times(value: float, of: float | None) -> str:
    """How many times as much; nothing where that cannot be said.

    >>> times(3.0, 2.0), times(3.0, None)
    ('1.5×', '')
    """
    return f"{value / of:.1f}×" if of else ""


def count(value: float) -> str:
    """A number in few characters.

    >>> [count(value) for value in (950, 12_345, 134_270_000)]
    ['950', '12.3 k', '134 M']
    """
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            digits = max(0, 2 - int(math.log10(value / size)))
            return f"{value / size:.{digits}f} {unit}"
    return f"{value:.0f}"
