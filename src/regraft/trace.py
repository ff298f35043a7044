"""What a backbone's network does, traced by torch.fx down to the modules inside each stage.

A module that lies wholly inside one stage is called as it is, so dropout, stochastic depth and
batch statistics in it follow its mode at every call.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

from timm.models import get_notrace_functions
from torch import Tensor, fx, nn

from regraft.backbone import Backbone, stage_of_tensors

Program = Callable[[nn.Module, Tensor], Any]  # of the network, and of what flows in


@dataclass(frozen=True)
class Boundary:
    """A place where one value leaves the first `stages` stages for all that follows."""

    stages: int
    below: Program  # images -> the value
    above: Program  # the value -> what `forward_features` gives
    value: fx.Node


@dataclass(frozen=True)
class Trace:
    """The steps of a network's `forward_features`; the first takes the images."""

    graph: fx.Graph
    own: dict[fx.Node, int]  # the stage of the tensors that a step itself uses, if it uses any

    def boundaries(self, stages: int) -> Iterator[Boundary]:
        """Boundaries above at most `stages` stages, the highest first.

        What depends on no image, such as a position embedding, is computed on both sides.
        """
        images, *others = self.graph.nodes
        steps = [images]  # those that depend on the images
        uses = {images: -1}  # the highest stage whose tensors a step uses
        for node in others:
            constants = [i for i in node.all_input_nodes if i not in steps]
            uses[node] = max([self.own.get(node, -1), *(uses[i] for i in constants)])
            if len(constants) < len(node.all_input_nodes):
                steps.append(node)
        for end in range(len(steps) - 1, 0, -1):
            inside, outside = steps[:end], steps[end:]
            reached = 1 + max(uses[node] for node in inside)
            torn = any(self.own.get(node, reached) < reached for node in outside)
            crossing = [node for node in inside if not node.users.keys().isdisjoint(outside)]
            if 0 < reached <= stages and not torn and len(crossing) == 1:
                (node,) = crossing
                below, above = self._program(images, node), self._program(node, None)
                yield Boundary(reached, below, above, node)

    def between(self, lower: Boundary | None, upper: Boundary | None) -> Program:
        """The steps from one boundary to a higher one; None is the images, or what
        `forward_features` gives."""
        images = next(iter(self.graph.nodes))
        return self._program(lower.value if lower else images, upper.value if upper else None)

    def _program(self, start: fx.Node, end: fx.Node | None) -> Program:
        """The steps from `start`, as its input, to `end` or the last, in the order of the trace."""
        result: Any = end or self.graph.output_node().args[0]  # a node, or a list of some
        needed: set[fx.Node] = set()
        fx.node.map_arg(result, needed.add)
        for node in reversed(self.graph.nodes):
            if node in needed and node is not start:
                needed.update(node.all_input_nodes)
        part = fx.Graph()
        copies = {start: part.placeholder("start")}
        for node in self.graph.nodes:
            if node in needed and node is not start:
                copies[node] = part.node_copy(node, copies.__getitem__)
        part.output(fx.node.map_arg(result, copies.__getitem__))
        code = part.python_code("self")
        exec(code.src, code.globals)
        return code.globals["forward"]


def trace(backbone: Backbone, image: Tensor) -> Trace:
    """Trace the network as it is, and run it once on an image (1, 3, H, W) to learn its sizes.

    All sizes but the batch's become constants. Leaves the backbone in evaluation mode. Raises
    NotImplementedError, or what the network's own code raises on a proxy, if it cannot be traced.
    """
    net = backbone.eval().net
    stage_of = stage_of_tensors(net, backbone.stages)
    parameters = dict(net.named_parameters())
    stages = {path: _stages(module, stage_of) for path, module in net.named_modules()}
    whole = {path for path in stages if path and len(stages[path]) <= 1}
    outputs = _outputs(net, whole, image)
    training = _Tracer(whole, image, outputs).trace(backbone.train().net)
    evaluation = _Tracer(whole, image, outputs).trace(backbone.eval().net)
    if str(training) != str(evaluation):
        raise NotImplementedError("what it does between its stages depends on its mode")
    own: dict[fx.Node, int] = {}
    for node in evaluation.nodes:
        if node.op == "call_module":
            own.update((node, stage) for stage in stages[node.target])
        elif node.op == "get_attr":
            # Not of buffers: they stay as they are, and timm counts a rotary embedding's, which
            # every block reads, to the last stage.
            read = [name for name in parameters if f"{name}.".startswith(f"{node.target}.")]
            own.update((node, stage_of[id(parameters[name])]) for name in read)
    return Trace(evaluation, own)


def _stages(module: nn.Module, stage_of: dict[int, int]) -> set[int]:
    tensors = chain(module.parameters(), module.buffers())
    return {stage_of[id(tensor)] for tensor in tensors if id(tensor) in stage_of}


def _outputs(net: Any, whole: set[str], image: Tensor) -> list[tuple[str, Any]]:
    """What the `whole` modules give, call by call, except those inside another one."""
    outputs: list[tuple[str, Any]] = []
    inside: list[str] = []

    def enter(path: str, *call: Any) -> None:
        inside.append(path)

    def leave(path: str, module: nn.Module, inputs: Any, output: Any) -> None:
        inside.pop()
        if not inside:
            outputs.append((path, output))

    handles = []
    for path in whole:
        module = net.get_submodule(path)
        handles.append(module.register_forward_pre_hook(partial(enter, path)))
        handles.append(module.register_forward_hook(partial(leave, path)))
    try:
        net.forward_features(image)
    finally:
        for handle in handles:
            handle.remove()
    return outputs


class _Tracer(fx.Tracer):
    """Records `forward_features` without looking into the modules that are `whole`."""

    traced_func_name = "forward_features"
    proxy_buffer_attributes = True

    def __init__(self, whole: set[str], image: Tensor, outputs: list[tuple[str, Any]]) -> None:
        # timm's functions that decide by the values of sizes; they too are called as they are.
        super().__init__(autowrap_functions=tuple(get_notrace_functions()))
        self.whole, self.image, self.outputs = whole, image, iter(outputs)

    def is_leaf_module(self, module: nn.Module, path: str) -> bool:
        return path in self.whole

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        result = super().call_module(m, forward, args, kwargs)
        path = self.path_of_module(m)
        if path not in self.whole:
            return result
        called, output = next(self.outputs, ("nothing", None))
        if called != path:
            raise NotImplementedError(f"it called {called} and now {path}")
        return self._like(output, result)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        if isinstance(attr_val, nn.Module) and hasattr(attr_val, "get_embed"):
            return _Rotary(self, attr_val)
        return super().getattr(attr, attr_val, parameter_proxy_cache)

    def create_args_for_root(self, root_fn: Any, is_module: bool, concrete_args: Any = None) -> Any:
        # The images alone: other arguments, such as masks, keep their defaults.
        images = self.create_proxy("placeholder", "images", (), {})
        return root_fn, [self.root, self._like(self.image, images)]

    def create_arg(self, a: Any) -> Any:
        if isinstance(a, Tensor) and not self._is_attribute(a):
            raise NotImplementedError("it makes a tensor between its stages")
        return super().create_arg(a)

    def _is_attribute(self, tensor: Tensor) -> bool:
        named = chain(self.root.parameters(), self.root.buffers(), self.tensor_attrs)
        return any(tensor is other for other in named)

    def _like(self, example: Any, proxy: Any) -> Any:
        """The proxy, with what is the same for every batch of images put in its place."""
        if isinstance(example, tuple | list):
            return type(example)(self._like(part, proxy[i]) for i, part in enumerate(example))
        if isinstance(example, Tensor) and example.shape[:1] == (1,):
            return _Sized(proxy.node, self, example.shape[1:])
        return example if isinstance(example, int | float | None) else proxy


class _Rotary:
    """timm's rotary position embedding, the one module that is used by a method of its own."""

    def __init__(self, tracer: fx.Tracer, module: nn.Module) -> None:
        self.tracer, self.module = tracer, module

    def get_embed(self, *args: Any, **options: Any) -> fx.Proxy:
        return self.tracer.create_proxy("call_method", "get_embed", (self.module, *args), options)


class _Sized(fx.Proxy):
    """A tensor whose sizes are known, but for the batch's, so that code may decide by them."""

    def __init__(self, node: fx.Node, tracer: fx.Tracer, sizes: tuple[int, ...]) -> None:
        super().__init__(node, tracer)
        self.sizes = sizes

    @property
    def shape(self) -> tuple[Any, ...]:
        sizes: Any = super().__getattr__("shape")
        return (sizes[0], *self.sizes)

    def size(self, dim: int | None = None) -> Any:
        return self.shape if dim is None else self.shape[dim]

    @property
    def ndim(self) -> int:
        return 1 + len(self.sizes)

    def dim(self) -> int:
        return self.ndim
