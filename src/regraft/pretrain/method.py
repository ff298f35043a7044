"""What every way of pretraining has in common: its settings, what it sees, and how it learns."""

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import torch
from annotated_types import Ge
from torch import Tensor, nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import OneCycleLR

from regraft.backbone import Backbone
from regraft.data.images import Batch, Images
from regraft.data.sources import Source
from regraft.errors import RegraftError
from regraft.features import Caching
from regraft.optim import LearningRate, NonNegative
from regraft.pretrain import unlabeled

WARM_UP = 0.1  # of the steps, in which the learning rate rises
Watch = Callable[[Iterable[Any], int, str], Iterable[Any]]
Everything = Callable[[], Source]  # the job's data before any of it is left out


class Loader(Protocol):
    """Images or activations with labels, in batches, in another order at each iteration."""

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[Batch]: ...


@dataclass(frozen=True)
class Task:
    """A network that is to learn, in place, and the training images that it learns from."""

    backbone: Backbone
    images: Images
    caching: Caching  # whether activations are kept, and how
    device: torch.device
    watch: Watch


@dataclass(frozen=True)
class Learned:
    """The mean loss of some stages in the first epoch and in the last, and the seconds it took."""

    stages: str
    first: float
    last: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Method(ABC):
    """A way of pretraining; the network starts random, or from `backbone.weights`."""

    start: Literal["random", "weights"]
    epochs: Annotated[int, Ge(1)]
    batch_size: Annotated[int, Ge(2)]
    lr: LearningRate
    weight_decay: NonNegative

    @property
    def libraries(self) -> tuple[str, ...]:
        """Those whose versions change the weights, beside those of every key."""
        return ()

    def kept(self, caching: Caching) -> str | None:
        """The precision in which it learns from what it keeps; None if it keeps nothing."""
        return None

    @property
    def name(self) -> str:
        return type(self).__name__.lower()

    @property
    def settings(self) -> dict[str, Any]:
        """All that was chosen, as plain data."""
        return asdict(self)

    @abstractmethod
    def source(self, everything: Everything, backbone: Backbone) -> Source:
        """The images to learn from, as the training images of a source that has no others."""

    @abstractmethod
    def learn(self, task: Task) -> list[Learned]:
        """Change the network's weights; RegraftError if it cannot learn this way."""

    def refuse(self, backbone: Backbone) -> None:
        """Raises RegraftError, before any work, where the method cannot be used."""
        if self.start == "weights" and backbone.weights == "random":
            raise RegraftError(
                "pretrain.start=weights with backbone.weights=random: there are none to start "
                "from; choose pretrain.start=random"
            )

    def shipped(self, backbone: Backbone) -> Path | None:
        """Weights inside this package that were made by this very method, if there are any."""
        return None

    def minimise(
        self,
        loss_of: Callable[[Tensor, Tensor], Tensor],
        parameters: Sequence[nn.Parameter],
        batches: Loader,
        task: Task,
        doing: str,
    ) -> tuple[float, float]:
        """AdamW with warm-up and a cosine over all epochs; the first and the last mean loss.

        Raises RegraftError for a loss that is no number.
        """
        optimizer = AdamW(self._groups(parameters), lr=self.lr)
        schedule = OneCycleLR(
            optimizer,
            self.lr,
            total_steps=self.epochs * len(batches) + 1,
            pct_start=WARM_UP,
            cycle_momentum=False,
        )
        means = []
        for _ in task.watch(range(self.epochs), self.epochs, doing):
            losses = []
            for x, y in batches:
                loss = loss_of(x.to(task.device), y.to(task.device))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                losses.append(loss.detach())
            means.append(round(torch.stack(losses).mean().item(), 6))
            if not math.isfinite(means[-1]):
                raise RegraftError(
                    f"pretrain={self.name}: the loss is no number ({doing}); lower pretrain.lr"
                )
        return means[0], means[-1]

    def minimise_whole(
        self,
        loss_of: Callable[[Tensor, Tensor], Tensor],
        head: nn.Module,
        task: Task,
        started: float,
    ) -> list[Learned]:
        """The same of all stages at once, under a head that is thrown away afterwards."""
        backbone = task.backbone
        backbone.freeze(())
        backbone.train()
        parameters = [*backbone.parameters(), *head.parameters()]
        loader = task.images.loader("train", shuffle=True)
        doing = f"pretraining {backbone.name}"
        first, last = self.minimise(loss_of, parameters, loader, task, doing)
        return [Learned("all stages", first, last, round(time.perf_counter() - started, 3))]

    def _groups(self, parameters: Sequence[nn.Parameter]) -> list[dict[str, Any]]:
        """Biases and norms are not decayed."""
        decayed = {"params": [p for p in parameters if p.ndim > 1]}
        others = {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0}
        return [decayed | {"weight_decay": self.weight_decay}, others]


@dataclass(frozen=True, kw_only=True)
class WithoutLabels(Method):
    """Learns from images alone: all training images of the data, or those in a folder."""

    unlabeled: str | None

    def source(self, everything: Everything, backbone: Backbone) -> Source:
        if self.unlabeled is None:
            data = everything()
            return unlabeled.only(data.train, data.name, data.white)
        return unlabeled.folder(Path(self.unlabeled), everything())
