"""The narrow door to timm: a network as ordered stages to keep, tune, reset or drop."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge
from timm.models._manipulate import group_with_matcher
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from regraft import weights as weight_sources
from regraft.architecture import (
    corrupts_memory,
    create,
    has_a_size,
    input_config,
    refused_size,
    sizes_that_run,
    sizes_that_work,
)
from regraft.errors import RegraftError, first_line

Output = Literal["pooled", "map"]
SIZES = range(64, 513, 32)  # of images, at which weights of an unknown size are tried


@dataclass(frozen=True)
class Stage:
    """One step of the network's depth, counted from the input."""

    name: str
    tensors: tuple[str, ...]  # its parameters and buffers, by their name in the network
    modules: tuple[str, ...]  # the largest modules that are wholly inside it
    parameters: int


class Backbone(nn.Module):
    """A timm model without its classifier, as an ordered list of stages.

    The weights are random until `graft` is called.

    Raises RegraftError for an unknown name and for a model that timm cannot group into stages.
    """

    def __init__(
        self,
        *,
        name: str,
        weights: str = "random",
        weights_key: str | None = None,
        size: Annotated[int, Ge(16)] | None = None,
    ) -> None:
        super().__init__()
        self.name, self.weights, self.weights_key = name, weights, weights_key
        self.net: Any = create(name, size)
        self._corrupts = corrupts_memory(self.net)
        if not self._corrupts:
            # Not net.to(...), which fails where a network has a convolution over three dimensions.
            nn.utils.convert_conv2d_weight_memory_format(self.net, torch.channels_last)
        self.input = input_config(self.net, size)
        self.stages = _stages(self.net)
        self.images_forwarded = 0
        self.frozen: frozenset[int] = frozenset()
        self._fixed_norm = False
        self._stages_of = _stages_of_modules(self.net, self.stages)
        try:
            self._measure()
        except Exception as error:  # an assertion, or whatever the network's own code raises
            if sizes := sizes_that_run(name, self.input.size[0]):
                raise refused_size(name, self.input.size, sizes) from error
            raise RegraftError(
                f"backbone.name={name}: is no trunk for images of one label: {first_line(error)}; "
                "choose another backbone"
            ) from error

    def forward(self, images: Tensor, takes: Output = "pooled") -> Tensor:
        """What a head `takes` of normalised images (B, 3, H, W).

        "pooled" is (B, out_features); "map" the last stage's output, (B, map_channels, H, W).
        """
        self.count(images)
        return self.read(self.net.forward_features(self.arranged(images)), takes)

    def arranged(self, images: Tensor) -> Tensor:
        """The images with their channels last in memory, where that is safe.

        Tensor cores want it so, and depthwise convolutions gain on the CPU (docs/channels-last.md).
        """
        if self._corrupts and images.device.type == "cpu":
            return images.contiguous()
        return images.contiguous(memory_format=torch.channels_last)

    @torch.compiler.disable
    def count(self, images: Tensor) -> None:
        """Note that these images went through the network; in a compiled one too."""
        self.images_forwarded += len(images)

    def read(self, features: Tensor, takes: Output) -> Tensor:
        """What a head `takes` of `features`, which the network's `forward_features` gave."""
        if takes == "pooled":
            return self.net.forward_head(features, pre_logits=True).flatten(1)
        return features.permute(0, 3, 1, 2) if self.is_nhwc else features

    def mean_over_positions(self, output: Tensor) -> Tensor:
        """Rows (B, C) of maps (B, C, H, W), or (B, H, W, C) for some networks, or tokens (B, T, C),
        as one of its stages gives them."""
        if output.ndim == 4:
            return output.mean((1, 2) if self.is_nhwc else (2, 3))
        return output.mean(1) if output.ndim == 3 else output.flatten(1)

    @property
    def is_nhwc(self) -> bool:
        """Whether maps have their channels last, as Swin's do."""
        return str(getattr(self.net, "output_fmt", "")).endswith("NHWC")

    def graft(
        self, *, pretrained: Iterable[int] = (), dropped: Iterable[int] = ()
    ) -> weight_sources.Weights | None:
        """Give the `pretrained` stages their weights and remove the `dropped` ones.

        Nothing is read, and no network is touched, when no stage wants pretrained weights.
        """
        wanted = [tensor for index in pretrained for tensor in self.stages[index].tensors]
        loaded = None
        if wanted and self.weights != "random":
            spare = [s.tensors for s in self.stages if s.tensors and s.tensors[0] not in wanted]
            loaded = self._load(spare)
            self._refuse_other_input(loaded)
            state = {name: loaded.tensors[name] for name in wanted if name in loaded.tensors}
            self.net.load_state_dict(state, strict=False)
        for index in sorted(dropped, reverse=True):
            for path in self.stages[index].modules:
                _remove(self.net, path)
        if dropped:
            self._stages_of = _stages_of_modules(self.net, self.stages)
            try:
                self._measure()
            except Exception as error:  # the network's own code raises whatever it likes
                raise RegraftError(
                    f"freeze: {self.name} cannot do without its last stages, as it is written "
                    f"({first_line(error)}); tune or reset them instead of drop"
                ) from error
        return loaded

    def _load(self, spare: list[tuple[str, ...]]) -> weight_sources.Weights:
        """The weights; RegraftError, with the sizes that would do, where only the size is wrong."""

        def load(net: nn.Module, size: int) -> weight_sources.Weights:
            name, weights, key = self.name, self.weights, self.weights_key
            return weight_sources.load(name, weights, net, key=key, spare=spare)

        try:
            return load(self.net, self.input.size[0])
        except weight_sources.OtherShapesError as error:
            if has_a_size(self.name) and (sizes := sizes_that_work(self.name, SIZES, load)):
                raise RegraftError(
                    f"backbone.size={self.input.size[0]}: weights of {self.name} cannot be brought "
                    f"to another size; these work for backbone.size={' or '.join(map(str, sizes))} "
                    f"(null: {input_config(self.net, None).size[0]})"
                ) from error
            raise

    def _refuse_other_input(self, loaded: weight_sources.Weights) -> None:
        """Raises RegraftError for weights that saw images of other mean, spread or resizing."""
        own = asdict(self.input)
        for key in ("mean", "std", "interpolation"):
            seen = loaded.input.get(key, own[key])
            if (tuple(seen) if isinstance(seen, list) else seen) != own[key]:
                raise RegraftError(
                    f"backbone.weights={self.weights}: these weights were trained on images of "
                    f"{key} {seen}, and backbone.name={self.name} wants {own[key]}; name the model "
                    "that they are of, with its tag"
                )

    def freeze(self, stages: Iterable[int], *, fixed_norm: bool | None = None) -> None:
        """Freeze these stages and no others; `fixed_norm` also fixes all BatchNorm statistics.

        Without a word about `fixed_norm` it stays as it was.

        Frozen means no gradient *and* evaluation mode: `requires_grad` alone lets BatchNorm drift
        (Lightning #15062, #21531) and leaves stochastic depth on.
        """
        self.frozen = frozenset(stages)
        if fixed_norm is not None:
            self._fixed_norm = fixed_norm
        parameters = dict(self.net.named_parameters())
        for index, stage in enumerate(self.stages):
            for name in stage.tensors:
                if name in parameters:
                    parameters[name].requires_grad_(index not in self.frozen)
        self.train(self.training)

    def train(self, mode: bool = True) -> "Backbone":
        """Like `nn.Module.train`, except that frozen parts stay in evaluation mode."""
        super().train(mode)
        if mode:
            for module, stages in self._stages_of:
                if stages <= self.frozen:
                    module.training = False
            if self._fixed_norm:
                for module in self.net.modules():
                    if isinstance(module, _BatchNorm):
                        module.training = False
        return self

    def stage_parameters(self, index: int) -> dict[str, nn.Parameter]:
        """The parameters of one stage by name; empty for a dropped stage."""
        parameters = dict(self.net.named_parameters())
        names = self.stages[index].tensors
        return {name: parameters[name] for name in names if name in parameters}

    def _measure(self) -> None:
        """Find the widths of the outputs by looking, since timm's attributes do not always say."""
        was_training = self.training
        self.eval()
        with torch.inference_mode():
            features, read = self._watched_features(torch.zeros(1, 3, *self.input.size))
            # One map, as opposed to tokens and to several maps.
            one = isinstance(features, Tensor) and features.ndim == 4
            shape = tuple(self.read(features, "map").shape[1:]) if one else None
            self.map_shape: tuple[int, ...] | None = shape
            self.out_features: int = self.read(features, "pooled").shape[1]
        self.map_stages = read  # so many leading stages make the map; VGG has a stage above it
        self.train(was_training)

    def _watched_features(self, image: Tensor) -> tuple[Any, int]:
        """What `forward_features` gives for an image, and how many leading stages it used."""
        reached: list[int] = []
        handles = [
            module.register_forward_pre_hook(lambda *_, inside=stages: reached.extend(inside))
            for module, stages in self._stages_of
            if len(stages) == 1
        ]
        features = self.net.forward_features(self.arranged(image))
        for handle in handles:
            handle.remove()
        return features, max(reached) + 1


def _stages(net: Any) -> tuple[Stage, ...]:
    """Group the network's tensors by depth, as timm's coarse `group_matcher` does.

    A group of norms alone joins the stage before it: on 18 of 98 timm files the last group is a
    lone norm, and "train the last stage" would train two vectors.
    """
    named = [*net.named_parameters(), *net.named_buffers()]
    try:
        groups = group_with_matcher(iter(named), net.group_matcher(coarse=True))
    except (AttributeError, AssertionError, NotImplementedError) as error:
        name = type(net).__name__
        raise RegraftError(
            f"backbone: timm does not group {name} into stages, so no part of it can be kept; "
            "choose another backbone"
        ) from error
    parameters = dict(net.named_parameters())
    merged: list[list[str]] = []
    for names in groups.values():
        only_norm = all(parameters[name].ndim <= 1 for name in names if name in parameters)
        if merged and only_norm:
            merged[-1].extend(names)
        else:
            merged.append(list(names))
    owner = {name: index for index, names in enumerate(merged) for name in names}
    inside = _largest_modules(net, owner)
    return tuple(
        Stage(
            name=f"stage{index}" if index else "stem",
            tensors=tuple(names),
            modules=tuple(inside.get(index, ())),
            parameters=sum(parameters[name].numel() for name in names if name in parameters),
        )
        for index, names in enumerate(merged)
    )


def _largest_modules(net: nn.Module, owner: dict[str, int]) -> dict[int, list[str]]:
    """For each stage, the modules that hold tensors of this stage only, outermost first."""
    inside: dict[int, list[str]] = {}

    def visit(module: nn.Module, path: str) -> None:
        stages = {index for name, index in owner.items() if name.startswith(path)}
        if path and len(stages) == 1:
            inside.setdefault(stages.pop(), []).append(path.rstrip("."))
        elif stages:
            for name, child in module.named_children():
                visit(child, f"{path}{name}.")

    visit(net, "")
    return inside


def stage_of_tensors(net: nn.Module, stages: tuple[Stage, ...]) -> dict[int, int]:
    """The stage of each parameter and buffer by its `id`.

    Not by name: in a module that is used in several places, they have several.
    """
    stage_of = {name: index for index, stage in enumerate(stages) for name in stage.tensors}
    named = chain(net.named_parameters(), net.named_buffers())
    return {id(tensor): stage_of[name] for name, tensor in named if name in stage_of}


def _stages_of_modules(
    net: nn.Module, stages: tuple[Stage, ...]
) -> tuple[tuple[nn.Module, frozenset[int]], ...]:
    """Every module, and the stages whose tensors are in it: it is frozen when all of them are.

    A module without parameters, such as dropout, goes with the stage that it lies in; outside of
    all stages (an input dropout, or a rotary embedding that every block reads) with the first: it
    acts on the input. What a container does by itself, such as the dropout in timm's
    `forward_head`, stops with the last of its stages.
    """
    owner = stage_of_tensors(net, stages)
    found: list[tuple[nn.Module, frozenset[int]]] = []

    def visit(module: nn.Module, around: frozenset[int]) -> None:
        own = frozenset(owner[id(parameter)] for parameter in module.parameters())
        inside = own or (around if len(around) == 1 else frozenset({0}))
        found.append((module, inside))
        for child in module.children():
            visit(child, inside)

    visit(net, frozenset())
    return tuple(found)


def _remove(net: nn.Module, path: str) -> None:
    """Put an identity in the module's place; in a classifier's, only inside it, since it pools.

    What follows it in a sequence up to the next tensors, such as VGG's activation and pooling, goes
    with it: in-place activations in a row break the gradient, and pooling again blurs the map.
    """
    module = net.get_submodule(path)
    if isinstance(module, nn.ModuleList):  # whoever takes its members goes on doing so
        for index in range(len(module)):
            module[index] = nn.Identity()
    elif path == "head":
        for name, child in module.named_children():
            if any(True for _ in child.parameters()):
                setattr(module, name, nn.Identity())
    else:
        parent_path, _, name = path.rpartition(".")
        parent = net.get_submodule(parent_path)
        setattr(parent, name, nn.Identity())
        if isinstance(parent, nn.Sequential):
            names = list(parent._modules)
            for follower in names[names.index(name) + 1 :]:
                if parent.get_submodule(follower).state_dict():
                    break
                setattr(parent, follower, nn.Identity())
