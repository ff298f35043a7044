"""A sweep over heads on a frozen trunk: is it one forward pass and a second per job?

A trunk that is frozen gives the same features in every epoch of every job. The target is
therefore one pass over all images and at most 1 s for each job. The peers send every image
through the trunk in every epoch; whole sweeps of them would take hours, so a job's epoch is
measured and the sweep extrapolated.
"""

import os
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import commands
import peers
import task
from torch import nn

from regraft.data.images import Images

NETWORK, SIZE = "resnet18", 96
PEER_EPOCHS = 2
LAUNCHERS = {"basic": "one job at a time", "joblib": "as many at a time as cores"}


def measure(jobs: int = 32, epochs: int = 20, rounds: int = 3) -> dict[str, list[float]]:
    """Seconds of the sweep with an empty and with a full cache, of one pass, and of the peers."""
    os.environ["WANDB_MODE"] = "offline"
    images = task.images(NETWORK, SIZE)
    kept = [task.through(task.network(NETWORK), batches) for batches in _batches(images)]
    with task.empty_cache() as cache:
        words = [*task.words(cache, NETWORK, SIZE), "strategy=feature_extraction"]

        def ours(jobs: int, epochs: int, logger: str, *, empty: bool) -> float:
            common = [*words, f"trainer.max_epochs={epochs}", f"logger={logger}"]
            axis = (
                [f"optimizer.lr={3e-4 * 1.8 ** (n // 4)}", f"seed={n % 4}"] for n in range(jobs)
            )
            with task.empty_cache() if empty else nullcontext():
                return task.sweep(([*common, *choice] for choice in axis), misses=int(empty))[0]

        def programs(jobs: int, epochs: int, peer_epochs: int) -> dict[str, Callable[[], float]]:
            made: dict[str, Callable[[], float]] = {"pass": lambda: _one_pass(images)}
            for logger in ("none", "wandb"):
                made[f"empty, {logger}"] = partial(ours, jobs, epochs, logger, empty=True)
                made[f"full, {logger}"] = partial(ours, jobs, epochs, logger, empty=False)
            for launcher in LAUNCHERS:
                for count in (_few(jobs), jobs):
                    command = partial(_command, words, count, epochs, launcher)
                    made[f"{launcher}, {count} jobs"] = command
            made["kept"] = partial(_on_kept_features, *kept, epochs)
            for name, peer in peers.FROZEN_PEERS.items():
                made[name] = partial(_epoch, peer, images, peer_epochs)
            return made

        task.sweep([[*words, "trainer.max_epochs=1", "logger=none"]])  # fills the cache
        task.in_turn(programs(1, 1, 1), 1)  # warms up
        seconds = task.in_turn(programs(jobs, epochs, PEER_EPOCHS), rounds)
    return _figures(seconds, jobs, epochs, sum(images.sizes.values()))


def _figures(seconds: task.Seconds, jobs: int, epochs: int, count: int) -> dict[str, list[float]]:
    one_pass = seconds["pass"]
    target = [s + jobs for s in one_pass]
    made = {
        f"one forward pass over {count} images, s": one_pass,
        f"target for {jobs} jobs × {epochs} epochs: the pass and 1 s per job, s": target,
    }
    for logger in ("none", "wandb"):
        empty, full = seconds[f"empty, {logger}"], seconds[f"full, {logger}"]
        ours = f"regraft, logger={logger}"
        made |= {
            f"{ours}, empty cache, s": empty,
            f"{ours}, empty cache / target": task.ratios(empty, target),
            f"{ours}, empty cache, s per job beside the pass": [
                (s - p) / jobs for s, p in zip(empty, one_pass, strict=True)
            ],
            f"{ours}, full cache, s": full,
            f"{ours}, full cache, s per job": [s / jobs for s in full],
        }
    for launcher, meaning in LAUNCHERS.items():
        few, all_of_them = (seconds[f"{launcher}, {n} jobs"] for n in (_few(jobs), jobs))
        command = f"regraft, hydra/launcher={launcher} ({meaning}), logger=wandb, full cache"
        made |= {
            f"{command}, whole command, s": all_of_them,
            f"{command}, s per further job": [
                (b - a) / (jobs - _few(jobs)) for a, b in zip(few, all_of_them, strict=True)
            ],
        }
    made["bare loop on features that are in memory, s per job"] = seconds["kept"]
    for name in peers.FROZEN_PEERS:
        sweep = [s * jobs * epochs for s in seconds[name]]
        made |= {
            f"{name}, s per epoch of a job": seconds[name],
            f"{name}, {jobs} jobs × {epochs} epochs, EXTRAPOLATED, s": sweep,
            f"{name}, EXTRAPOLATED / regraft, empty cache, logger=none": task.ratios(
                sweep, seconds["empty, none"]
            ),
        }
    return made


def _few(jobs: int) -> int:
    """A smaller sweep: what the larger one takes more, its further jobs take."""
    return max(1, jobs // 4)


def _command(words: list[str], jobs: int, epochs: int, launcher: str) -> float:
    """Seconds of the command line of a sweep, from the shell's point of view."""
    rates = ",".join(f"{3e-4 * 1.05**number:.3g}" for number in range(jobs))
    axes = [f"optimizer.lr={rates}", f"trainer.max_epochs={epochs}", f"hydra/launcher={launcher}"]
    with tempfile.TemporaryDirectory() as folder:
        return commands.train(["-m", *words, *axes], Path(folder))


def _one_pass(images: Images) -> float:
    trunk = task.network(NETWORK).eval()
    started = time.perf_counter()
    for split in task.SPLITS:
        task.through(trunk, task.Normalised(images.loader(split), images))
    return time.perf_counter() - started


def _on_kept_features(train: task.Held, val: task.Held, epochs: int) -> float:
    return peers.bare(nn.Identity(), task.mlp(train.rows.shape[1]), train, val, epochs)


def _epoch(peer: peers.Peer, images: Images, epochs: int) -> float:
    """Seconds of one of so many epochs, validation included."""
    trunk = task.network(NETWORK)
    return peer(trunk, task.mlp(trunk.num_features), *_batches(images), epochs) / epochs


def _batches(images: Images) -> tuple[task.Normalised, task.Normalised]:
    train, val = images.train_dataloader(), images.val_dataloader()
    return task.Normalised(train, images), task.Normalised(val, images)
