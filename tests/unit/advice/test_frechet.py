import numpy as np
import pytest

from regraft import embedded
from regraft.advice.frechet import distance, reference


def rows(count, *, shift=0.0, stretch=1.0, seed=0):
    return np.random.default_rng(seed).normal(shift, stretch, (count, 4))


def test_the_distance_is_that_of_two_gaussians():
    source = reference(rows(200_000))
    found = distance(source, rows(200_000, shift=2.0, stretch=3.0, seed=1))
    # |mean|² = 4 · 2², and (3 - 1)² for each of 4 dimensions, over a total variance of 4.
    assert found.relative == pytest.approx((16 + 16) / 4, rel=0.02)
    assert found.excess == pytest.approx(found.relative, rel=0.01)


def test_images_of_the_source_are_as_far_from_it_as_it_is_from_itself():
    source = reference(rows(5000))
    near, far = distance(source, rows(30, seed=2)), distance(source, rows(30, shift=1, seed=2))
    assert abs(near.excess) < 0.15 < 0.6 < far.excess


def test_statistics_of_the_source_are_shipped_for_the_embedded_weights_only():
    import hashlib

    digest = hashlib.sha256(embedded.WEIGHTS.read_bytes()).hexdigest()
    mean, covariance, images = embedded.source_statistics(digest)
    assert mean.shape == (160,) and covariance.shape == (160, 160) and images == 6000
    np.testing.assert_allclose(covariance, covariance.T)
    assert np.linalg.eigvalsh(covariance).min() > 0
    assert embedded.source_statistics("0" * 64) is None
