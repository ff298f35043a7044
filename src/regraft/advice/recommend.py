"""What to do in each cell of the table, as words of a command line, each with its reason.

Where the textbook's choice was measured to be worse than another one (docs/advice.md), the other
one is recommended, and the reason says so.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from regraft.advice.measure import Auto, Evidence
from regraft.advice.similarity import Similarity

EPOCHS = 20  # as trainer.max_epochs is for a data set that is not small


@dataclass(frozen=True)
class Choice:
    """Words of a command line that go together, and why they are recommended."""

    words: str
    reason: str


def recommend(evidence: Evidence, auto: Auto, batch_size: int) -> tuple[Choice, ...]:
    """The strategy first, then cut, head, learning rates and epochs."""
    return (*_strategy(evidence), *length(evidence.sizes["train"], auto.min_steps, batch_size))


def _strategy(evidence: Evidence) -> Iterator[Choice]:
    found, place = evidence.similarity, evidence.placement
    if found is None:
        yield Choice("strategy=scratch", "the weights are random: there is nothing to keep")
        return
    avoided = f"the features avoid {found.share:.0%} of the errors of random ones"
    if place.is_similar and place.is_small:
        yield Choice("strategy=feature_extraction", f"{avoided}, and few images change no trunk")
        yield Choice("freeze=all", f"cut above {found.best.stage}: {_depth(found)}")
        yield Choice("head=mlp", "all that is left to learn; on features it costs next to nothing")
    elif place.is_similar:
        yield Choice("strategy=finetune", f"{avoided}, and there are images enough to refine them")
        yield Choice("freeze=none", f"no cut; {_depth(found)}")
        yield Choice("head=linear", "the trunk learns what a deeper head would")
        yield Choice(
            "optimizer.backbone_ratio=0.1", "a tenth of the head's rate: little has to move"
        )
        yield Choice("optimizer.stage_decay=0.7", "less still towards the input: edges stay edges")
    else:
        few = (
            "too few images for any strategy (textbook: collect more); until then all of it learns"
            if place.is_small
            else "images enough to learn from, and a trained beginning costs nothing"
        )
        yield Choice("strategy=finetune", f"{few}; {avoided} only")
        yield Choice("freeze=none", f"no cut; {_depth(found)}")
        yield Choice("head=linear", "the trunk learns what a deeper head would")
        rates = "optimizer.backbone_ratio=1 optimizer.stage_decay=1"
        yield Choice(rates, "the head's rate for all stages: much has to move")


def _depth(found: Similarity) -> str:
    """Where features stop helping, in words."""
    last = found.depths[-1].stage
    if found.best.stage == last:
        return f"they get better up to the last stage ({last})"
    p = found.worse_above()
    doubt = "" if p < 0.05 else f", which is not certain (p = {p:.2f})"
    return f"above {found.best.stage} they stop getting better{doubt}"


def length(images: int, min_steps: int, batch_size: int) -> Iterator[Choice]:
    """So many epochs that a small data set, too, has enough steps."""
    steps = math.ceil(images / batch_size)
    epochs = max(EPOCHS, math.ceil(min_steps / steps))
    every = max(1, epochs // EPOCHS)
    words = f"trainer.max_epochs={epochs} trainer.check_val_every_n_epoch={every}"
    yield Choice(words, f"{epochs * steps:,} steps of {batch_size} images, {epochs // every} looks")
