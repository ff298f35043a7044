"""The lead that a sweep could have shown is the one that its own test finds."""

import math

import numpy as np
import pytest
from scipy import stats

from regraft.power import found, visible_lead
from regraft.statistics import Doubt


def drawn(lead, doubt, rivals, sweeps=3000):
    """The share of sweeps in which the first of normal means beats all others."""
    rng = np.random.default_rng(0)
    won = 0
    for _ in range(sweeps):
        means = rng.normal(0, math.sqrt((doubt.seeds + doubt.images) / 2), rivals + 1)
        means[0] += lead
        seeds = doubt.seeds
        if math.isfinite(doubt.freedom):
            seeds *= stats.chi2.rvs(doubt.freedom, random_state=rng) / doubt.freedom
        seen = Doubt(seeds, doubt.freedom, doubt.images)
        ahead = means[0] - means[1:].max()
        won += ahead > 0 and seen.p(ahead) < 0.05
    return won / sweeps


@pytest.mark.parametrize(
    ("doubt", "rivals"),
    [
        (Doubt(1e-4, 6, 1e-4), 3),
        (Doubt(2e-4, 2, 0.0), 1),
        (Doubt(1e-5, 18, 2e-4), 6),
        (Doubt(0.0, math.inf, 1e-4), 3),
        (Doubt(0.0, 2, 1e-4), 2),  # all seeds agree
    ],
)
def test_a_lead_is_found_as_often_as_the_test_finds_it(doubt, rivals):
    lead = visible_lead([doubt] * rivals)
    share = found(lead, doubt.seeds, doubt.images, doubt.freedom, rivals=rivals)
    assert share == pytest.approx(0.8, abs=0.01)
    assert drawn(lead, doubt, rivals) == pytest.approx(0.8, abs=0.04)


def test_more_seeds_show_a_smaller_lead_and_no_doubt_shows_none():
    leads = [visible_lead([Doubt(3e-4 / n, 3 * (n - 1), 5e-5)] * 3) for n in (2, 3, 5, 10)]
    assert leads == sorted(leads, reverse=True)
    assert visible_lead([Doubt(0.0, math.inf, 0.0)]) is None
    assert visible_lead([Doubt(0.1, 1, 0.0)]) is None  # not even a lead of 100 points
