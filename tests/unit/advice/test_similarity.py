import numpy as np
import pytest
from known import found as probed
from known import known

from regraft.advice.similarity import measure, removed
from regraft.errors import RegraftError


def test_the_share_is_that_of_the_errors_and_lies_in_its_interval():
    found = probed(seed=0)
    best = max(depth.random.acc for depth in found.depths)
    expected = removed(
        next(d.random.right for d in found.depths if d.random.acc == best),
        found.best.pretrained.right,
    )
    assert found.share == expected > 0.75
    low, high = found.interval
    assert low < found.share < high <= 1
    assert found.majority == pytest.approx(0.1)


def test_features_as_good_as_random_ones_are_of_no_use():
    data, other = (known(similar=True, small=True, seed=seed) for seed in (1, 2))
    found = measure(other.random, data.random, data.labels)
    low, high = found.interval
    assert found.share < 0.2 and low < high < 0.3 and found.can_be_told


def test_where_random_features_make_no_errors_nothing_can_be_told():
    data = known(similar=True, small=True, seed=1)
    labels = data.labels[:, None] == np.arange(10)
    found = measure(data.pretrained, {"stem": 1.0 * labels, "stage1": 1.0 * labels}, data.labels)
    assert not found.can_be_told


def test_the_best_depth_is_chosen_again_in_every_draw():
    """On noise one of many depths is the best by luck, and the interval has to know."""
    rng, labels = np.random.default_rng(0), np.repeat(np.arange(5), 12)
    noise = [{f"s{i}": rng.normal(size=(60, 8)) for i in range(6)} for _ in range(2)]
    found = measure(*noise, labels)
    accs = [depth.pretrained.acc for depth in found.depths]
    assert found.best.pretrained.acc == max(accs) > np.mean(accs)
    fixed = found.best.pretrained.right, max(found.depths, key=lambda d: d.random.acc).random.right
    picks = rng.integers(0, 60, (2000, 60))
    wrong, base = ((~right)[picks].sum(1) + 0.5 for right in fixed)
    assert np.ptp(np.quantile(1 - wrong / base, (0.025, 0.975))) > np.ptp(found.interval)


def test_the_depth_where_features_stop_helping_is_found():
    data = known(similar=True, small=True, seed=2)
    good, weak = data.pretrained["stage1"], data.pretrained["stem"]
    noise = np.random.default_rng(0).normal(size=good.shape)
    stages = {"stem": weak, "stage1": good, "stage2": noise}
    found = measure(stages, dict.fromkeys(stages, data.random["stem"]), data.labels)
    assert (found.best.stage, found.helpful) == ("stage1", 2)
    assert found.worse_above() < 0.001
    assert found.neighbours.stage == "stage2"


def test_equal_depths_are_won_by_the_deepest():
    data = known(similar=True, small=True, seed=2)
    stages = {"stem": data.pretrained["stage1"], "stage1": data.pretrained["stage1"]}
    found = measure(stages, data.random, data.labels)
    assert found.helpful == 2 and found.worse_above() == 1


@pytest.mark.parametrize(
    ("spoil", "words"), [(np.nan, "not finite"), (None, "the features of all images are the same")]
)
def test_features_that_say_nothing_are_refused(spoil, words):
    data = known(similar=True, small=True, seed=0)
    bad = data.pretrained["stem"].copy()
    bad[...] = 1.0
    if spoil is not None:
        bad[0, 0] = spoil
    with pytest.raises(RegraftError, match=words):
        measure({"stem": bad}, data.random, data.labels)
