"""An advice: evidence, place in the table and what to do, written down and put into words."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.console import Console
from rich.table import Table
from rich.text import Text

from regraft.advice import picture
from regraft.advice.measure import Auto, Evidence, measure
from regraft.advice.placement import Placement
from regraft.advice.recommend import Choice, recommend
from regraft.config import build
from regraft.data.images import Watch
from regraft.escaping import printable
from regraft.paths import write_whole

ADVICE, PICTURE = "advice.json", "advice.png"
IN_WORDS = {
    "small_similar": "small and similar",
    "big_similar": "big and similar",
    "small_dissimilar": "small and not similar",
    "big_dissimilar": "big and not similar",
}


@dataclass(frozen=True)
class Advice:
    """What was measured, and what to do."""

    evidence: Evidence
    choices: tuple[Choice, ...]
    far_from: float

    @property
    def strategy(self) -> str:
        """The name of the one that is recommended."""
        return self.choices[0].words.partition("=")[2]

    def as_dict(self) -> dict[str, Any]:
        """Plain data for advice.json and result.json."""
        of = self.evidence
        return {
            "data": {"name": of.data, **of.sizes},
            "backbone": of.backbone,
            "placement": of.placement.as_dict(),
            "similarity": of.similarity.as_dict() if of.similarity else None,
            "no_similarity_because": of.no_similarity_because or None,
            "size": of.size.as_dict(),
            "distance": of.distance.as_dict() if of.distance else None,
            "no_distance_because": of.no_distance_because or None,
            "forecast": of.forecast.words if of.forecast else None,
            "choices": [vars(choice) for choice in self.choices],
            "cost": {"wall_s": round(of.seconds, 3), "images_forwarded": of.images_forwarded},
        }


def advise(cfg: DictConfig, folder: Path, watch: Watch) -> Advice:
    """Measure, decide, and write advice.json and advice.png into the folder."""
    auto: Auto = build(cfg.strategy)
    folder.mkdir(parents=True, exist_ok=True)
    evidence = measure(cfg, auto, watch)
    advice = Advice(evidence, recommend(evidence, auto, cfg.loader.batch_size), auto.far_from)
    headline = f"{cell(evidence.placement)}: {advice.strategy}"
    picture.draw(evidence, auto, folder / PICTURE, title=headline)
    text = json.dumps(advice.as_dict(), indent=2, allow_nan=False)
    write_whole(folder / ADVICE, f"{text}\n".encode())
    return advice


def cell(place: Placement) -> str:
    """Where the data lies, in a few words."""
    if place.quadrant is None:
        return f"{'small' if place.is_small else 'big'}; whether it is similar cannot be measured"
    sure = "" if place.is_sure else f" (only {place.cells[place.quadrant]:.0%} sure)"
    return f"{IN_WORDS[place.quadrant]}{sure}"


def show(advice: Advice, taken: Sequence[Choice], folder: Path, console: Console) -> None:
    """Print an advice: where, why, and what to do; `taken` are the choices that nobody has made."""
    table = Table.grid(padding=(0, 2))
    for name, text in _lines(advice):
        table.add_row(Text(name, "bold"), Text(printable(text)))
    console.print(table, highlight=False)
    choices = Table.grid(padding=(0, 2))
    for choice in advice.choices:
        made = choice in taken
        reason = choice.reason if made else f"your choice stays ({choice.reason})"
        words = printable(choice.words.replace(" ", "\n"))
        choices.add_row(Text(words, "bold" if made else "strike"), Text(printable(reason)))
    console.print()
    console.print(choices, highlight=False)
    files = f"\n{ADVICE}, {PICTURE} in {folder}"
    console.print(Text(printable(files)), highlight=False, soft_wrap=True)


def _lines(advice: Advice) -> Iterator[tuple[str, str]]:
    of = advice.evidence
    yield "data", f"{of.data}: {of.sizes['train']:,} training images of {of.size.classes} classes"
    yield "it is", cell(of.placement)
    yield from _of_similarity(advice)
    if of.size.gain is None or of.size.interval is None:
        yield "size", f"{of.size.per_class:.0f} images per class; {of.size.why_not}"
    else:
        low, high = of.size.interval
        yield (
            "size",
            f"twice the images would bring {100 * of.size.gain:.1f} points of accuracy "
            f"({100 * low:.1f} to {100 * high:.1f})",
        )
    if of.forecast:
        yield "more data", f"for frozen features: {of.forecast.words}"
    if not of.placement.is_sure:
        yield "not sure", "-m sweep=verify with the same words compares the strategies"
    found = "" if of.images_forwarded else " (features found in the cache)"
    yield "measured in", f"{of.seconds:.1f} s; {of.images_forwarded:,} images forwarded{found}"


def _of_similarity(advice: Advice) -> Iterator[tuple[str, str]]:
    of = advice.evidence
    if of.similarity is None:
        yield "similarity", f"cannot be measured: {of.no_similarity_because}"
        return
    found, low, high = of.similarity, *of.similarity.interval
    best, base = found.best, found.base
    yield (
        "similarity",
        f"{found.share:.0%} of the errors of random features are avoided "
        f"({low:.0%} to {high:.0%}): {best.pretrained.acc:.3f} instead of "
        f"{base.acc:.3f}, majority class {found.majority:.3f}",
    )
    rows = ", ".join(f"{depth.stage} {depth.pretrained.acc:.3f}" for depth in found.depths)
    yield "by depth", f"{rows}; {found.neighbours.pretrained.acc:.3f} by nearest neighbours"
    if of.distance is None:
        yield "distance", f"cannot be measured: {of.no_distance_because}"
    else:
        far = of.distance.excess >= advice.far_from
        agrees = "agrees" if far != of.placement.is_similar else "DISAGREES"
        yield (
            "distance",
            f"{of.distance.relative:.2f} from the source's images, where draws like them lie "
            f"{of.distance.of_source:.2f}: {'far' if far else 'near'}, "
            f"the second opinion {agrees}",
        )
