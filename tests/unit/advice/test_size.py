import numpy as np
from known import known

from regraft import scores
from regraft.advice.placement import Thresholds, place
from regraft.advice.size import measure


def measured(data, **options):
    return measure(
        (data.pretrained["stage1"], data.labels),
        (data.val["stage1"], data.val_labels),
        **{"images": len(data.labels), "sizes": 6, "replicates": 3} | options,
    )


def test_few_images_of_a_hard_task_would_gain_by_more():
    found = measured(known(similar=False, small=True, seed=0))
    low, high = found.interval
    assert 0.02 < low < found.gain < high
    assert found.per_class == 8 and found.smallest == 8
    assert [p.per_class for p in found.points if p.replicate == 0] == [1, 2, 3, 4, 5, 8]


def test_a_part_of_many_images_is_judged_as_the_whole():
    data = known(similar=False, small=True, seed=0)
    assert measured(data, images=6000).gain < measured(data).gain


def test_classes_keep_their_shares():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], [90, 10])
    features = rng.normal(size=(100, 8)) + 3 * labels[:, None]
    found = measure((features, labels), (features, labels), images=100, sizes=6, replicates=3)
    assert found.smallest == 10 and found.per_class == 50
    assert max(point.per_class for point in found.points) == 50


def test_too_few_images_for_a_curve_are_said():
    data = known(similar=True, small=True, seed=0)
    two = np.concatenate([np.flatnonzero(data.labels == c)[:2] for c in range(10)])
    train = data.pretrained["stage1"][two], data.labels[two]
    found = measure(train, (data.val["stage1"], data.val_labels), images=20, sizes=6, replicates=3)
    assert found.gain is None and found.interval is None and found.curve is None
    assert "images per class" in found.why_not


def test_a_curve_that_says_nothing_places_nothing():
    found = measured(known(similar=False, small=True, seed=0)).without_curve("it is noise")
    assert found.gain is None and found.interval is None and found.why_not == "it is noise"
    lines = Thresholds(similar_from=0.75, small_gain=0.025, small_per_class=50)
    assert place(None, found, lines).small == 1


def test_each_subset_has_a_penalty_that_was_chosen_on_it_alone(monkeypatch):
    seen, choose = [], scores.best_penalty

    def chosen(some, of, seed):
        seen.append(len(some))
        return choose(some, of, seed)

    monkeypatch.setattr(scores, "best_penalty", chosen)
    data = known(similar=True, small=True, seed=0)
    found = measured(data)
    assert seen == [10 * point.per_class for point in found.points]  # of ten classes
    assert len(set(seen)) == 6
