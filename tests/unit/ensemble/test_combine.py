"""Against brute force on small cases: whole millionths, as they are read of a file."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regraft.ensemble.combine import METHODS, best, greedy, mean, mixture, score, weighted


def cases(members, images, classes, seed=0, skill=0.7):
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=images)
    made = []
    for _ in range(members):
        logits = rng.normal(size=(images, classes))
        logits[np.arange(images), labels] += skill
        shares = np.exp(logits)
        made.append(np.rint(1e6 * shares / shares.sum(1, keepdims=True)))
    return made, labels


def plainly(members, labels, counts):
    """(accuracy, minus log loss) of members so many times each, in exact numbers."""
    right, loss = 0, 0.0
    for row, label in enumerate(labels):
        total = [
            sum(int(n) * Fraction(int(m[row, c])) for n, m in zip(counts, members, strict=True))
            for c in range(members[0].shape[1])
        ]
        right += total.index(max(total)) == label
        loss -= math.log(max(float(total[label] / sum(total)), 5e-7))
    return right / len(labels), -round(loss / len(labels), 9)


@pytest.mark.parametrize("seed", range(4))
def test_greedy_goes_the_way_of_brute_force(seed):
    """Of all multisets with one member more, always the best; and of that way the best point."""
    members, labels = cases(3, 25, 3, seed)
    way = [(0, 0, 0)]
    for size in range(1, 7):
        multisets = (c for c in itertools.product(range(size + 1), repeat=3) if sum(c) == size)
        reached = [c for c in multisets if all(a >= b for a, b in zip(c, way[-1], strict=True))]
        reached.sort(reverse=True)  # of equals, that with the member that comes first
        way.append(max(reached, key=lambda counts: plainly(members, labels, counts)))
    wanted = max(way[1:], key=lambda counts: plainly(members, labels, counts))
    assert tuple(greedy(members, labels, steps=6)) == wanted


@pytest.mark.parametrize("seed", range(4))
def test_weighted_has_the_least_log_loss_of_a_grid_and_is_optimal(seed):
    members, labels = cases(3, 60, 4, seed)
    found = weighted(members, labels)
    found = found / found.sum()
    loss = score(mixture(members, found), labels).loss
    steps = np.linspace(0, 1, 41)
    grid = [(a, b, 1 - a - b) for a in steps for b in steps if a + b <= 1]
    others = [score(mixture(members, np.array(weights)), labels).loss for weights in grid]
    assert loss <= min(others) + 1e-6
    # The condition for an optimum of a concave likelihood on the simplex (Karush, Kuhn, Tucker).
    rows = np.arange(len(labels))
    shares = np.stack([member[rows, labels] / member.sum(1) for member in members])
    slopes = (shares / (found @ shares)).mean(1)
    assert (slopes < 1.002).all()
    assert (np.abs(slopes[found > 0.01] - 1) < 0.002).all()


def test_all_alike_is_the_mean():
    members, labels = cases(4, 30, 3)
    mixed = mixture(members, mean(members, labels)) / 4e6
    assert np.allclose(mixed, np.mean(members, axis=0) / 1e6)


def test_the_score_is_that_of_the_definition():
    members, labels = cases(1, 40, 5)
    found = score(members[0], labels)
    assert (found.acc, -round(found.loss, 9)) == pytest.approx(plainly(members, labels, [1]))
    assert found.rank == (found.acc, -round(found.loss, 9))


def test_of_equals_the_first_and_the_fewest():
    [one], labels = cases(1, 30, 3)
    assert greedy([one, one, one], labels).tolist() == [1, 0, 0]
    assert best([one, one], labels).tolist() == [1, 0]


def test_a_tie_of_classes_is_decided_alike_however_often_members_count():
    """Sums of whole numbers are exact: a third of 0.3 and 0.6 would not be."""
    members = [np.array([[100_000, 900_000.0]]), np.array([[900_000, 100_000.0]])]
    for times in (1, 3, 7, 30):
        assert score(mixture(members, np.array([times, times])), np.array([0])).acc == 1


def test_a_member_of_no_use_has_no_weight():
    [good, _], labels = cases(2, 50, 3, skill=4)
    bad = np.full_like(good, 1e6 / 3)
    assert weighted([bad, good], labels)[0] == 0


@given(
    st.integers(0, 2**32 - 1), st.integers(2, 5), st.integers(1, 12), st.integers(2, 4),
    st.sampled_from([1, 3, 10]),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_greedy_is_never_below_its_best_member_also_with_many_ties(
    seed, members, n, classes, parts
):
    rng = np.random.default_rng(seed)
    labels = rng.integers(classes, size=n)
    made = [rng.multinomial(parts, [1 / classes] * classes, size=n) * 1e6 for _ in range(members)]
    alone = max(score(member, labels).rank for member in made)
    assert score(mixture(made, greedy(made, labels, steps=8)), labels).rank >= alone
    assert score(mixture(made, best(made, labels)), labels).rank == alone
    for method in METHODS.values():
        weights = method(made, labels)
        assert (weights >= 0).all()
        assert weights.sum() > 0
