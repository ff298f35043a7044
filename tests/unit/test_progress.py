"""What goes on beside the training: who stops it early, and when."""

from regraft.progress import EarlyStopping


def test_early_stopping_waits_as_long_as_it_is_asked_to():
    stop = EarlyStopping(monitor="val/loss", mode="min", patience=7)
    assert (stop.monitor, stop.mode, stop.patience) == ("val/loss", "min", 7)
