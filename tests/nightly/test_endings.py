"""Each value of the trainer's keys by itself; tests/jobs trains them together."""

import pytest
import trainer_keys
from runs import TINY


@pytest.mark.parametrize("word", trainer_keys.TRAIN)
def test_a_value_of_the_trainer_trains(finished_run, word):
    run = finished_run(*TINY, "strategy=finetune", word)
    assert run.returncode == 0, run.stderr
    assert (run.folder / "checkpoints/best.ckpt").exists()
    assert (run.folder / "curves.png").exists()
