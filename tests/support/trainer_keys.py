"""Values of the trainer's keys: which train, and how the others are refused before the training."""

# Two values at least of each key that conf/trainer shows. What is no message trains.
KEYS = {
    "max_epochs": {"2": None, "0": "trainer.max_epochs=0: must be greater than or equal to 1"},
    "accelerator": {"cpu": None, "tpuu": "trainer.accelerator=tpuu: You selected an invalid"},
    "devices": {"auto": None, "0": "`Trainer(devices=0)` value is not a valid input"},
    "strategy": {
        "ddp": None,
        "auto": None,
        "dpd": "invalid strategy name: `strategy='dpd'`",
    },
    "sync_batchnorm": {
        "false": None,
        "true": None,
        "1": "sync_batchnorm=1: must be true or false",
    },
    "precision": {"bf16-mixed": None, "64-true": None, "8": "trainer.precision=8: must be one of"},
    "accumulate_grad_batches": {
        "2": None,
        "0": "trainer.accumulate_grad_batches=0: must be greater than or equal to 1",
        "-1": "trainer.accumulate_grad_batches=-1: must be greater than or equal to 1",
    },
    "gradient_clip_val": {"null": None, "0": None, "-1": "must be greater than or equal to 0"},
    "check_val_every_n_epoch": {"2": None, "0": "must be greater than or equal to 1"},
    "limit_train_batches": {
        "2": None,
        "0.4": None,
        "0": "trainer.limit_train_batches=0: must be greater than 0",
        "0.1": "trainer.limit_train_batches=0.1 of 3 is less than one batch; give a number of",
    },
    "limit_val_batches": {
        "1": None,
        "0": None,
        "0.1": "trainer.limit_val_batches=0.1 of 1 is less than one batch",
    },
    "limit_predict_batches": {
        "1": None,
        "0": "trainer.limit_predict_batches=0: must be greater than 0",
        "0.5": "trainer.limit_predict_batches=0.5 of 1 is less than one batch",
    },
    "log_every_n_steps": {"0": None, "1": None, "-1": "must be greater than or equal to 0"},
    "num_sanity_val_steps": {"1": None, "-1": None, "-2": "must be greater than or equal to -1"},
    "deterministic": {"true": None, "false": None, "maybe": "must be true or false or warn"},
}
# And of keys that Lightning has besides.
MORE = {
    "max_steps": {"0": "trainer.max_steps=0: must be -1 or greater than or equal to 1"},
    "max_time": {"00:00:00:00": "trainer.max_time: no time to train in; give DD:HH:MM:SS"},
    "val_check_interval": {
        "2": None,
        "0": "trainer.val_check_interval=0: must be greater than 0",
        "9": "trainer.val_check_interval=9: an epoch has 3 batches",
    },
    "overfit_batches": {"1": None, "0.1": "trainer.overfit_batches=0.1 of 3 is less than one"},
    "barebones": {"true": "trainer.barebones is set by regraft itself; leave it out"},
    "plugins": {"[]": "trainer.plugins is set by regraft itself; leave it out"},
}
_ALL = [
    *((f"trainer.{k}={v}", said) for k, values in KEYS.items() for v, said in values.items()),
    *((f"+trainer.{k}={v}", said) for k, values in MORE.items() for v, said in values.items()),
]
TRAIN = [word for word, said in _ALL if said is None]
REFUSED = [(word, said) for word, said in _ALL if said is not None]


def together(column: int) -> list[str]:
    """A value that trains of each key that is shown, all at once: the first ones, or the second."""
    words = []
    for key, values in KEYS.items():
        trains = [value for value, said in values.items() if said is None]
        words.append(f"trainer.{key}={trains[column % len(trains)]}")
    return words
