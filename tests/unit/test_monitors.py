"""What may be watched, and which way of it is better."""

import pytest
import pytorch_lightning as pl
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint

from regraft import monitors
from regraft.errors import RegraftError


@pytest.mark.parametrize(("watched", "right"), monitors.LOGGED.items())
@pytest.mark.parametrize("kind", [ModelCheckpoint, EarlyStopping])
def test_every_metric_that_is_logged_can_be_watched_and_only_for_the_better(watched, right, kind):
    monitors.refuse([("mine", kind(monitor=watched, mode=right))])
    wrong = {"min": "max", "max": "min"}[right]
    with pytest.raises(RegraftError) as caught:
        monitors.refuse([("mine", kind(monitor=watched, mode=wrong))])
    assert str(caught.value) == (
        f"callbacks.mine.monitor={watched} with mode={wrong} would choose the worst epoch; add "
        f"callbacks.mine.mode={right}"
    )


@pytest.mark.parametrize(
    ("watched", "hint"),
    [
        ("val/macrof1", "did you mean 'val/macro_f1'?"),
        ("val_loss", "did you mean 'val/loss'?"),
        ("macro_f1", "did you mean 'val/macro_f1'?"),
        ("acc", "did you mean 'val/acc'?"),
        ("x", "no such metric; there are train/loss, train/acc, val/loss, val/acc"),
    ],
)
def test_a_metric_that_is_not_logged_is_one_line_with_the_nearest(watched, hint):
    with pytest.raises(RegraftError) as caught:
        monitors.refuse([("checkpoint", ModelCheckpoint(monitor=watched))])
    assert f"callbacks.checkpoint.monitor={watched}: no such metric" in str(caught.value)
    assert hint in str(caught.value)


def test_what_watches_nothing_is_let_be():
    monitors.refuse([("a", ModelCheckpoint()), ("b", pl.Callback())])


def test_a_callback_of_others_may_log_what_is_watched():
    class Theirs(pl.Callback):
        pass

    callbacks = [("theirs", Theirs()), ("checkpoint", ModelCheckpoint(monitor="val/f2"))]
    monitors.refuse(callbacks)
    with pytest.raises(RegraftError, match="no such metric; there are"):
        monitors.refuse(callbacks[1:])
    wrong = ModelCheckpoint(monitor="val/acc", mode="min")
    with pytest.raises(RegraftError, match="would choose the worst epoch"):
        monitors.refuse([*callbacks, ("checkpoint", wrong)])
