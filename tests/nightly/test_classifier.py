"""Kept to the byte: every family under every plan; each family and each plan once in jobs."""

import pytest
from families import FAMILIES
from fits import POLICIES, moved

from regraft import optim


@pytest.mark.parametrize("ema", [False, True], ids=["plain", "ema"])
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("family", FAMILIES)
def test_frozen_means_frozen_to_the_byte_after_fit(family, policy, ema, tmp_path):
    average = [optim.ema(decay=0.9)] if ema else []
    made, changed, top = moved(family, POLICIES[policy], tmp_path, average)
    kept = made.indices("keep")
    assert kept
    assert not any(changed[index] for index in kept)
    assert top
