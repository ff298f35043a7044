"""How long a training is: `min_steps` makes epochs enough of few images."""

import copy
import math

from omegaconf import DictConfig

from regraft.rank import rank

LOOKS = 20  # at the validation images, if there are more epochs than were asked for


def with_enough_steps(cfg: DictConfig, images: int) -> DictConfig:
    """The config, with more epochs if those it has are fewer than `min_steps` steps.

    Twenty epochs of fifty images are twenty steps, after which no network has learned anything.
    The validation images are then looked at some twenty times in all.
    """
    epochs, together = cfg.trainer.max_epochs, cfg.trainer.accumulate_grad_batches
    steps = math.ceil(math.ceil(images / cfg.loader.batch_size) / together)
    if not cfg.min_steps or not epochs or epochs * steps >= cfg.min_steps:
        return cfg
    cfg = copy.deepcopy(cfg)
    cfg.trainer.max_epochs = math.ceil(cfg.min_steps / steps)
    every = max(cfg.trainer.check_val_every_n_epoch or 1, cfg.trainer.max_epochs // LOOKS)
    cfg.trainer.check_val_every_n_epoch = every
    told = f"min_steps={cfg.min_steps}: {cfg.trainer.max_epochs} epochs instead of {epochs}"
    if not rank():
        print(told, flush=True)
    return cfg
