"""Networks of many stages cut after each of them; after three, and the others, in unit."""

import cutting
import pytest


@pytest.mark.parametrize("family", cutting.DEEP)
def test_both_parts_together_are_the_backbone_at_every_stage(family):
    cutting.both_parts_are_the_backbone(family, cutting.every_stage(family))


@pytest.mark.parametrize("family", cutting.DEEP)
def test_training_on_stored_activations_is_training_the_whole(family, monkeypatch):
    cutting.training_on_what_is_stored_is_training_the_whole(
        family, cutting.every_stage(family)[:-1], monkeypatch
    )
