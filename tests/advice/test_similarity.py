import numpy as np
import pytest
from advice.known import known

from regraft.advice.similarity import measure, removed
from regraft.errors import RegraftError


def test_the_share_is_that_of_the_errors_and_lies_in_its_interval():
    data = known(similar=True, small=True, seed=0)
    found = measure(data.pretrained, data.random, data.labels)
    best = max(depth.random.acc for depth in found.depths)
    expected = removed(
        next(d.random.right for d in found.depths if d.random.acc == best),
        found.best.pretrained.right,
    )
    assert found.share == expected > 0.75
    low, high = found.interval
    assert low < found.share < high <= 1
    assert found.majority == pytest.approx(0.1)


def test_features_that_random_weights_have_too_are_of_no_use():
    data = known(similar=True, small=True, seed=1)
    found = measure(data.random, data.random, data.labels)
    assert found.share == 0
    low, high = found.interval
    assert low == high == 0


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
