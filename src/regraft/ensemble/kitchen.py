"""Where a soup is made: the runs' network with other weights, and the images that judge it."""

import copy
import json
import logging
import warnings
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from rich.console import Console
from torch import Tensor, nn

from regraft import outputs, rebuild, tracking, trained, verdict
from regraft.advice.measure import device_of
from regraft.calibration import Calibration
from regraft.checkpoint_io import save
from regraft.classifier import stack
from regraft.config import build
from regraft.data.images import Images, SplitName
from regraft.earlier import CONFIG, RESULT
from regraft.ensemble.choose import Combination
from regraft.ensemble.combine import Score, score
from regraft.ensemble.members import Member, Members
from regraft.ensemble.soup import (
    Soup,
    State,
    greedy,
    moved_statistics,
    refuse_other_shapes,
    refuse_other_starts,
)
from regraft.errors import RegraftError
from regraft.experiment import EXPECTED
from regraft.head import as_head
from regraft.jobs import load_result, table
from regraft.paths import shown, whole_folder, write_whole
from regraft.progress import watched

FOLDER = "soup"
INSTEAD = "leave --soup out: a soup needs the images, and what is fetched with it"
# Of a checkpoint what is no weight and no card: how to go on with a training.
TRAINING = ("optimizer_states", "lr_schedulers", "loops", "callbacks", "resume")


class Kitchen:
    """The network of runs that share one, with any weights, and the images of the best run.

    Where weights bring BatchNorm statistics that the first have not, these are computed anew on
    the training images: the statistics of averaged weights are not the average of the statistics
    (Izmailov et al. 2018, Averaging weights leads to wider optima).
    """

    def __init__(self, network: nn.Module, images: Images, device: torch.device) -> None:
        self.network, self.images, self.device = network.to(device), images, device
        self.first: State = copy.deepcopy(dict(network.state_dict()))

    def judge(self, state: State) -> tuple[float, State]:
        """The accuracy of these weights on the validation images, and the weights with BatchNorm
        statistics that fit them."""
        self.network.load_state_dict(state)
        if moved := moved_statistics(self.first, state):
            self.renew(moved)
        logits, labels = self.say("val")
        acc = float((logits.argmax(1) == labels).double().mean())
        return acc, {name: t.clone().cpu() for name, t in self.network.state_dict().items()}

    def say(self, split: SplitName) -> tuple[Tensor, Tensor]:
        """Logits (N, num_classes) and labels (N,) of a split's images."""
        batches = self._batches(split, shuffle=False)
        return stack([(self.network(x).float().cpu(), y) for x, y in batches])

    def renew(self, names: Sequence[str]) -> None:
        """Compute the statistics of these BatchNorms on the training images, as they are."""
        norms: list[Any] = [self.network.get_submodule(name) for name in names]
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the mean over all batches
            norm.train()
        torch.manual_seed(0)  # of the order: a batch of one class has statistics of its own
        for x, _ in self._batches("train", shuffle=True):
            self.network(x)
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            norm.eval()

    def _batches(self, split: SplitName, *, shuffle: bool) -> Iterator[tuple[Tensor, Tensor]]:
        with torch.no_grad():
            for x, y in self.images.loader(split, shuffle=shuffle):
                yield self.images.input.normalize(x.to(self.device)), y


class Served(NamedTuple):
    """A soup as a row beside the combinations, and the folder that it was written to."""

    combination: Combination
    folder: Path | None


def serve(members: Members, home: Path, console: Console) -> Served:
    """Make the soup of the members and write it into `home`, as the folder of a run.

    Raises RegraftError for runs without a checkpoint or without a common start, and if the images
    are no longer those of the runs.
    """
    for message in EXPECTED:
        warnings.filterwarnings("ignore", message)
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    refuse_another_run(home / FOLDER)
    runs = members.runs
    best = trained.load(runs[0].job.folder)
    cfg = rebuild.config_of(runs[0].job.folder, instead=INSTEAD)
    refuse_other_starts(runs, random_head=head_is_random(cfg, best))
    kitchen = Kitchen(best.network, images_of(cfg, best, runs[0]), device_of(cfg))
    kitchen.images.keep_decoded(build(cfg.features).store, partial(watched, console))
    soup = greedy(_states(runs, kitchen.first, console), kitchen.judge)
    kitchen.network.load_state_dict(soup.state)
    said: outputs.Said = {"val": kitchen.say("val"), "test": kitchen.say("test")}
    judged = verdict.judged(best.calibration.precision, said["val"], said["test"])
    folder = None
    if len(soup.ingredients) > 1:
        folder = write(soup, runs, best, said, judged, kitchen.images, home / FOLDER)
    return Served(_combination(soup, members, kitchen.images, said, judged[0]), folder)


def refuse_another_run(folder: Path) -> None:
    """Raises RegraftError for a run of this name that was trained, and is no earlier soup."""
    if (folder / RESULT).exists() and FOLDER not in load_result(folder / RESULT)[0]:
        raise RegraftError(f"--soup: {shown(folder)} is a run of its own: rename it, or add --out")


def head_is_random(cfg: DictConfig, best: trained.Trained) -> bool:
    """Whether the head's first weights depend on the seed; those of a linear one are zeros."""
    backbone: Any = best.network.backbone
    heads = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        facts = backbone.out_features, backbone.map_shape, len(best.classes)
        heads.append(as_head(build(cfg.head, *facts)).state_dict())
    return any(not torch.equal(heads[0][name], heads[1][name]) for name in heads[0])


def images_of(cfg: DictConfig, best: trained.Trained, run: Member) -> Images:
    """The images of a run, built again from its config."""
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    source = build(cfg.data, cfg.seed)
    images: Images = build(cfg.loader, source, best.input, None, build(cfg.balance))
    listing = table(load_result(run.job.folder / RESULT)[0], "data").get("listing")
    if images.listing != listing or images.classes != best.classes:
        raise RegraftError(
            f"--soup: the images are no longer those that {shown(run.job.folder)} was trained on"
        )
    return images


def _states(runs: Sequence[Member], first: State, console: Console) -> Iterator[State]:
    """The weights of each run, one after the other; there is never more than one in memory."""
    with console.status("soup") as status:
        for number, run in enumerate(runs, start=1):
            status.update(f"soup: run {number} of {len(runs)}")
            path = trained.checkpoint_of(run.job.folder)
            state = trained.read(path)["state_dict"]
            refuse_other_shapes(first, state, shown(run.job.folder))
            yield state


def _combination(
    soup: Soup, members: Members, images: Images, said: outputs.Said, calibration: Calibration
) -> Combination:
    """The soup beside the combinations: images and classes in the order of the members'."""
    weights = torch.zeros(len(members.runs))
    weights[list(soup.ingredients)] = 1
    order = [images.classes.index(name) for name in members.classes]
    mixed: dict[str, np.ndarray] = {}
    scores: dict[str, Score] = {}
    for split, (logits, labels) in said.items():
        names = images.names[split]
        rows = sorted(range(len(labels)), key=lambda r: (names[r], order.index(int(labels[r]))))
        mixed[split] = calibration.apply(logits[rows][:, order].numpy())
        scores[split] = score(mixed[split], members.labels[split])
    return Combination(FOLDER, weights.numpy(), mixed, scores)


def write(
    soup: Soup,
    runs: Sequence[Member],
    best: trained.Trained,
    said: outputs.Said,
    judged: verdict.Judged,
    images: Images,
    folder: Path,
) -> Path:
    """Write the soup as the folder of a run, whole, in place of an earlier one."""
    used = [runs[number] for number in soup.ingredients]
    calibration, told, metrics = judged
    card: dict[str, Any] = {**best.card, FOLDER: [run.label for run in used]}
    card |= {"run": tracking.new_id(), "calibration": vars(calibration)}
    record, _ = load_result(runs[0].job.folder / RESULT)
    result = record | {
        "id": card["run"],
        "metrics": metrics,
        "calibration": told,
        "checkpoint": trained.BEST,
        "cost": _cost(used),
        "versions": tracking.versions(),
        "git": tracking.git(),
        FOLDER: card[FOLDER],
        **dict.fromkeys(("best_epoch", "forecast", "advice", "scores", "wandb", "lr_range")),
    }
    try:
        with whole_folder(folder, RESULT) as unfinished:
            checkpoint = trained.read(best.source)
            kept = {key: value for key, value in checkpoint.items() if key not in TRAINING}
            save(kept | {"state_dict": soup.state, "regraft": card}, unfinished / trained.BEST)
            config = (runs[0].job.folder / CONFIG).read_bytes()
            write_whole(unfinished / CONFIG, config)
            outputs.write_predictions(unfinished, card["run"], images, said, calibration)
            text = json.dumps(result, indent=2, default=str) + "\n"
            write_whole(unfinished / RESULT, text.encode())
    except OSError as error:
        raise RegraftError(f"cannot write {shown(folder)}: {error.strerror}") from error
    return folder


def _cost(used: Sequence[Member]) -> dict[str, Any]:
    """One network to use, and the training of all that went into it."""
    one = used[0].job.cost
    seconds = [s for run in used if isinstance(s := run.job.cost.get("fit_s"), int | float)]
    fit_s = round(sum(seconds), 3) if len(seconds) == len(used) else None
    return {key: one.get(key) for key in ("params_total", "params_trained")} | {"fit_s": fit_s}
