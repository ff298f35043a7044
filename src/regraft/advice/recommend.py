"""What to do in each cell of the table, as words of a command line, each with its reason.

Where the textbook's choice was measured to be worse than another one (docs/advice.md), the other
one is recommended, and the reason says so.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from regraft.advice.measure import EASY, Auto, Evidence
from regraft.advice.similarity import Similarity
from regraft.advice.size import Size

RARE = 5  # times as many images in the most frequent class: balance=weights then paid on faces
DOUBT = 0.05  # p from which on stages above the best one are not certainly worse
EPOCHS = 20  # as conf/trainer/ has them


@dataclass(frozen=True)
class Choice:
    """Words of a command line that go together, and why they are recommended."""

    words: str
    reason: str


def recommend(evidence: Evidence, auto: Auto, batch_size: int) -> tuple[Choice, ...]:
    """The strategy first, then cut, head, learning rates, balance and epochs."""
    length = _length(evidence, auto, batch_size)
    return (*_strategy(evidence), *_balance(evidence.size), length)


def _strategy(evidence: Evidence) -> Iterator[Choice]:
    found, place = evidence.similarity, evidence.placement
    if found is None and evidence.no_similarity_because == EASY:
        yield Choice("strategy=feature_extraction", EASY)
        return
    if found is None:
        yield Choice("strategy=scratch", "the weights are random: there is nothing to keep")
        return
    avoided = f"the features avoid {found.share:.0%} of the errors of random ones"
    if place.is_similar and place.is_small:
        yield Choice("strategy=feature_extraction", f"{avoided}, and few images change no trunk")
        yield _cut(found)
        yield Choice("head=mlp", "all that is left to learn; on features it costs next to nothing")
    elif place.is_similar:
        yield Choice("strategy=finetune", f"{avoided}, and there are images enough to refine them")
        yield Choice("freeze=none", f"no stage is kept; {_depth(found)}")
        yield Choice("head=linear", "the trunk learns what a deeper head would")
        yield Choice(
            "optimizer.backbone_ratio=0.1", "a tenth of the head's rate: little has to move"
        )
        yield Choice("optimizer.stage_decay=0.7", "less still towards the input: edges stay edges")
    else:
        few = (
            "more images would still pay (textbook: collect them); until then all of it learns"
            if place.is_small
            else "more images would hardly pay, and a trained beginning costs nothing"
        )
        yield Choice("strategy=finetune", f"{few}; {avoided} only")
        yield Choice("freeze=none", f"no stage is kept; {_depth(found)}")
        yield Choice("head=linear", "the trunk learns what a deeper head would")
        rates = "optimizer.backbone_ratio=1 optimizer.stage_decay=1"
        yield Choice(rates, "the head's rate for all stages: much has to move")


def _balance(size: Size) -> Iterator[Choice]:
    """Weights in the loss where a class is rare."""
    if size.largest >= RARE * size.smallest:
        few = f"the rarest class has {size.smallest} images, the most frequent {size.largest}"
        yield Choice("balance=weights", f"{few}: look at macro F1 too")


def _cut(found: Similarity) -> Choice:
    """All stages, or those below the place where features stop helping, if that is certain."""
    if found.worse_above() < DOUBT:
        words = f"freeze=first freeze.stages={found.helpful} freeze.above=drop"
        return Choice(words, f"the head reads {found.best.stage}: {_depth(found)}")
    return Choice("freeze=all", f"the head reads the last stage: {_depth(found)}")


def _depth(found: Similarity) -> str:
    """Where features stop helping, in words."""
    last = found.depths[-1].stage
    if found.best.stage == last:
        return f"features get better up to {last}"
    p = found.worse_above()
    doubt = "" if p < DOUBT else f", which is not certain (p = {p:.2g})"
    return f"above {found.best.stage} features stop getting better{doubt}"


def _length(evidence: Evidence, auto: Auto, batch_size: int) -> Choice:
    """So many epochs that a small data set, too, has enough steps."""
    steps = math.ceil(evidence.sizes["train"] / batch_size)
    fewer = f"{EPOCHS} epochs are {EPOCHS * steps:,} steps of {batch_size} images"
    enough = "enough" if EPOCHS * steps >= auto.min_steps else "too few to learn much"
    return Choice(f"trainer.max_epochs={EPOCHS} min_steps={auto.min_steps}", f"{fewer}, {enough}")
