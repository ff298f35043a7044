"""Half of a batch, and the same images in each step."""

import pytest
from jobs import composed

from regraft.memory import halved


@pytest.mark.parametrize(
    ("size", "accumulate", "expected"), [(64, 1, (32, 2)), (8, 4, (4, 8)), (25, 1, (12, 2))]
)
def test_a_step_keeps_its_images(size, accumulate, expected, tmp_path):
    words = [f"loader.batch_size={size}", f"trainer.accumulate_grad_batches={accumulate}"]
    cfg = composed(tmp_path, *words, "trainer.limit_train_batches=3")
    smaller = halved(cfg, size * accumulate)
    found = smaller.loader.batch_size, smaller.trainer.accumulate_grad_batches
    assert found == expected
    assert smaller.trainer.limit_train_batches == 3 * size // expected[0]
    assert smaller.trainer.limit_val_batches == 1.0
    assert cfg.loader.batch_size == size
