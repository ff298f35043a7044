import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import multivariate_normal, norm
from sklearn.neighbors import KNeighborsClassifier

from regraft import scores
from regraft.errors import RegraftError


def blobs(n, d, classes=3, apart=1.0, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    centres = rng.normal(size=(classes, d)) * apart
    return (centres[labels] + rng.normal(size=(n, d))).astype(np.float32), labels


@pytest.mark.parametrize(("n", "d"), [(40, 5), (30, 30), (12, 50)])
@pytest.mark.parametrize("apart", [0.0, 0.3, 3.0])
def test_logme_is_the_largest_evidence_that_brute_force_finds(n, d, apart):
    features, labels = blobs(n, d, apart=apart)
    kernel = features.astype(float) @ features.T.astype(float)
    # The axes of the covariance are those of the kernel, whatever the precisions.
    values, axes = np.linalg.eigh(kernel)

    def evidence(y, at):
        """The log density of y under the precisions exp(at): of a normal distribution by axis."""
        alpha, beta = np.exp(at)
        spread = np.sqrt(1 / beta + values.clip(0) / alpha)
        return norm.logpdf(axes.T @ y, scale=spread).sum()

    def largest(y):
        starts = [(a, b) for a in (0, 4, 8) for b in (0, 2, 4)]
        start = max(starts, key=lambda start: evidence(y, start))
        negative = lambda at: -evidence(y, at)  # noqa: E731
        return -minimize(negative, start, method="Nelder-Mead", bounds=[(-14, 14)] * 2).fun

    y = (labels == 0).astype(float)
    covariance = np.eye(n) / np.exp(2) + kernel / np.exp(1)
    assert evidence(y, (1, 2)) == pytest.approx(
        multivariate_normal(np.zeros(n), covariance).logpdf(y)
    )
    expected = np.mean([largest((labels == c).astype(float)) / n for c in range(3)])
    assert scores.logme(features, labels) == pytest.approx(expected, abs=2e-3)


def test_hscore_is_the_papers_formula():
    from sklearn.covariance import LedoitWolf

    features, labels = blobs(30, 8)
    x = features - features.mean(0)
    found = LedoitWolf(assume_centered=True).fit(x.astype(float))
    given = np.stack([x[labels == c].mean(0) for c in labels])  # E[f | y] of every image
    between = given.T @ given / len(x)
    expected = (1 - found.shrinkage_) * np.trace(np.linalg.inv(found.covariance_) @ between)
    assert scores.hscore(features, labels) == pytest.approx(expected, rel=1e-4)


def test_neighbours_are_scikit_learns_without_the_image_itself():
    features, labels = blobs(60, 6, apart=0.6)
    expected = []
    for i in range(60):
        others = np.arange(60) != i
        model = KNeighborsClassifier(5, metric="cosine").fit(features[others], labels[others])
        near = labels[others][model.kneighbors(features[[i]], return_distance=False)[0]]
        counts = np.bincount(near, minlength=3)
        expected.append((counts[labels[i]] == counts.max(), (counts == counts.max()).sum() > 1))
    found = scores.neighbours(features, labels).right
    assert all(f == e for f, (e, tied) in zip(found, expected, strict=True) if not tied)
    assert sum(not tied for _, tied in expected) > 40


@pytest.mark.parametrize("seed", range(3))
def test_a_probe_of_noise_is_at_chance_and_of_blobs_is_right(seed):
    noise, labels = blobs(90, 20, apart=0.0, seed=seed)
    low, high = scores.linear(noise, labels, seed=seed).interval
    assert low < 1 / 3 + 0.12 and high > 1 / 3 - 0.12
    apart, labels = blobs(90, 20, apart=3.0, seed=seed)
    assert scores.linear(apart, labels).acc == 1


def test_a_probe_does_not_learn_from_the_image_that_it_judges():
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(60, 500)), np.arange(60) % 2
    assert scores.fit_linear(features, labels, 1.0).score(features, labels) == 1
    assert scores.linear(features, labels).acc < 0.75


def test_no_fold_is_judged_with_a_penalty_that_was_chosen_on_it(monkeypatch):
    features, labels = blobs(60, 5, apart=1.0)
    seen, choose = [], scores.best_penalty

    def watched(some, of, seed):
        seen.append({tuple(row) for row in some})
        return choose(some, of, seed)

    monkeypatch.setattr(scores, "best_penalty", watched)
    scores.linear(features, labels)
    everything = {tuple(row) for row in features}
    held = [everything - some for some in seen]
    assert len(seen) == 5
    assert sum(map(len, held)) == 60 and set().union(*held) == everything  # each held back once


def test_a_class_of_one_image_has_no_say_in_the_penalty():
    features, labels = blobs(40, 5, apart=1.0)
    with_one = np.concatenate([features, np.full((1, 5), 9.0)]), np.append(labels, 7)
    assert scores.best_penalty(*with_one, 0) == scores.best_penalty(features, labels, 0)
    alone = np.random.default_rng(0).normal(size=(3, 5)), np.arange(3)
    assert scores.best_penalty(*alone, 0) == scores.PENALTIES[2]


def test_classes_of_two_images_can_be_probed():
    features, labels = blobs(6, 4, apart=5.0)
    assert scores.linear(features, labels).right.shape == (6,)


@pytest.mark.parametrize(
    ("features", "labels", "message"),
    [
        (np.ones((6, 2)), [0, 0, 0, 1, 1, 1], "the features of all images are the same"),
        (
            np.array([[np.nan, 1]] + [[1, 2]] * 5),
            [0, 0, 0, 1, 1, 1],
            "of 1 of 6 images are not fin",
        ),
        (np.eye(4), [0, 0, 0, 0], "at least two classes"),
        (np.eye(4), [0, 0, 0, 1], "at least 2 training images of every class"),
    ],
)
def test_what_cannot_be_judged_is_one_line(features, labels, message):
    for score in (scores.linear, scores.neighbours, scores.logme, scores.hscore):
        with pytest.raises(RegraftError, match=message):
            score(features, np.array(labels))


def test_a_probe_that_does_not_converge_is_one_line(monkeypatch):
    monkeypatch.setattr(scores, "STEPS", 1)
    features, labels = blobs(60, 20, apart=0.5)
    with pytest.raises(RegraftError, match="did not converge in 1 steps"):
        scores.linear(features, labels)
