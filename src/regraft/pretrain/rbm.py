"""The historic option: a stack of restricted Boltzmann machines, learned by contrastive divergence,
layer by layer (Hinton 2002; Hinton, Osindero & Teh 2006). For backbone=sigmoid_mlp alone."""

from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from annotated_types import Ge
from torch import Tensor, nn

from regraft.backbone import Backbone
from regraft.cut import Slice
from regraft.embedded.sigmoid_mlp import Layer, SigmoidMLP
from regraft.errors import RegraftError
from regraft.pretrain.layerwise import Below, StageByStage, named
from regraft.pretrain.method import Task


class Machine(nn.Module):
    """A layer's weights W (hidden, visible) and biases, seen as a machine with visible units.

    Values of units are probabilities of being on; pixels are taken as such.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.linear = linear
        self.visible_bias = nn.Parameter(linear.weight.new_zeros(linear.in_features))

    def energy(self, visible: Tensor) -> Tensor:
        """The free energy (B,) of visible units (B, V), hidden ones summed out."""
        return -visible @ self.visible_bias - F.softplus(self.linear(visible)).sum(1)

    def hidden(self, visible: Tensor) -> Tensor:
        """How likely each hidden unit is on."""
        return torch.sigmoid(self.linear(visible))

    def visible(self, hidden: Tensor) -> Tensor:
        """How likely each visible unit is on."""
        return torch.sigmoid(hidden @ self.linear.weight + self.visible_bias)

    @torch.no_grad()
    def chain(self, visible: Tensor, steps: int) -> Tensor:
        """Visible units after so many steps of Gibbs sampling; of them the probabilities."""
        for _ in range(steps):
            visible = self.visible(torch.bernoulli(self.hidden(visible)))
        return visible


@dataclass(frozen=True, kw_only=True)
class RBM(StageByStage):
    """CD-k with k `gibbs_steps`."""

    gibbs_steps: Annotated[int, Ge(1)]

    def refuse(self, backbone: Backbone) -> None:
        super().refuse(backbone)
        if not isinstance(backbone.net, SigmoidMLP):
            raise RegraftError(
                f"pretrain=rbm is for a stack of fully connected layers, and {backbone.name} is "
                "none: choose backbone=sigmoid_mlp, or pretrain=layerwise"
            )

    def train(self, part: Slice, below: Below, task: Task) -> tuple[float, float]:
        """Contrastive divergence; the first and last difference of free energies.

        Its gradient is that of the data's free energy minus that of the chain's end, which is the
        update of contrastive divergence.
        """
        (index,) = part.stages
        layer = task.backbone.net.layers[index]
        assert isinstance(layer, Layer)
        machine = Machine(layer.linear).to(task.device)

        def loss_of(x: Tensor, _: Tensor) -> Tensor:
            data = layer.units(below.given(x, task))
            return divergence(machine, data, self.gibbs_steps)

        doing = f"pretraining {named(part, task.backbone)}"
        batches = below.loader(task, self.batch_size)
        return self.minimise(loss_of, [*machine.parameters()], batches, task, doing)


def divergence(machine: Machine, data: Tensor, steps: int) -> Tensor:
    """How much lower the free energy is where the chain from the data (B, V) has gone."""
    return (machine.energy(data) - machine.energy(machine.chain(data, steps))).mean()
