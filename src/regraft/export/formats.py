"""The files that other programs read: how each is written, and how it is read without regraft."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict, dataclass
from importlib import metadata
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import save
from timm.models import save_for_hf
from torch import Tensor, nn
from torch.fx import GraphModule

from regraft.architecture import create
from regraft.embedded import IN_TIMM
from regraft.errors import RegraftError, did_you_mean
from regraft.exported import IMAGES, LOGITS, require
from regraft.model import Network, Trained

Logits = Callable[[Tensor], Tensor]
MOST_INSIDE = 1.8e9  # bytes of weights: a file of ONNX ends at 2 GB, what is more lies beside it
OF_OTHERS = ("test_input_size", "test_crop_pct", "tag", "license", "origin_url", "paper_ids")


@dataclass(frozen=True)
class Format:
    """`write` fills an empty folder; `open` reads it as its users would, and `by` is who does.

    `open` is None where `regraft predict` reads it by the same library in the same way.
    """

    file: str
    write: Callable[[Trained, Network, Path], None]
    open: Callable[[Path], Logits] | None
    by: str
    needs: tuple[str, ...] = ()

    @property
    def reader(self) -> str:
        """Who reads it, with the version."""
        package, _, called = self.by.partition(":")
        return f"{called or package} {metadata.version(package)}"


def find(name: str) -> Format:
    """The format of this name; RegraftError if there is none, or a package for it is missing."""
    if name not in FORMATS:
        hint = did_you_mean(name, FORMATS)
        raise RegraftError(f"--to {name}: no such format{hint} (there are {', '.join(FORMATS)})")
    require(*FORMATS[name].needs, what=f"--to {name}")
    return FORMATS[name]


def _write_onnx(trained: Trained, network: Network, folder: Path) -> None:
    size = sum(t.numel() * t.element_size() for t in network.state_dict().values())
    with _quiet():
        torch.onnx.export(
            _program(trained, network),
            (),
            folder / "model.onnx",
            input_names=[IMAGES],
            output_names=[LOGITS],
            dynamic_shapes={IMAGES: {0: "batch"}},
            dynamo=True,
            external_data=size > MOST_INSIDE,
            verbose=False,
        )


def _write_torch_export(trained: Trained, network: Network, folder: Path) -> None:
    content = BytesIO()  # on a full disk, torch would end the process with it (`terminate called`)
    with _quiet():
        torch.export.save(_program(trained, network), content)
    (folder / "model.pt2").write_bytes(content.getbuffer())


def _program(trained: Trained, network: Network) -> torch.export.ExportedProgram:
    """The graph, for any number of images in a batch."""
    two = torch.zeros(2, 3, *trained.input.size)
    batch = torch.export.Dim("batch", min=1)
    program = torch.export.export(network, (two,), dynamic_shapes={IMAGES: {0: batch}})
    for module in program.graph_module.modules():
        for node in module.graph.nodes if isinstance(module, GraphModule) else ():
            node.meta.pop("stack_trace", None)  # paths of this machine, in what is sent to others
    return program


def _open_torch_export(folder: Path) -> Logits:
    # It could run code, but was written just now.
    return torch.export.load(folder / "model.pt2").module()


def _write_safetensors(trained: Trained, network: Network, folder: Path) -> None:
    # Copies: a file of safetensors has no strides, and no tensor under two names.
    state = {
        name: tensor.clone(memory_format=torch.contiguous_format)
        for name, tensor in network.state_dict().items()
    }
    # Not its own `save_file`, whose files nobody else may read.
    (folder / "model.safetensors").write_bytes(save(state, metadata={"format": "pt"}))


def _write_timm(trained: Trained, network: Network, folder: Path) -> None:
    backbone, layers = network.backbone, network.head.layers
    kinds = [type(layer) for layer in layers if not isinstance(layer, nn.Dropout)]
    trunk = backbone.net.state_dict()
    seen = asdict(trained.input)
    size = seen.pop("size")
    del seen["white"]  # timm knows eight bits only
    name, options = IN_TIMM.get(backbone.name, (backbone.name, {}))
    fixed = backbone.net.pretrained_cfg.get("fixed_input_size")
    if fixed:
        options = {**options, "img_size": list(size)}
    net: Any = create(name, None, num_classes=len(trained.classes), **options)
    missing, surplus = net.load_state_dict(trunk, strict=False)
    classifier = net.get_classifier()
    mine = {name for name, _ in net.named_parameters()} - trunk.keys()
    if kinds != [nn.Linear] or network.head.takes != "pooled" or surplus or {*missing} != mine:
        raise RegraftError(
            "--to timm: this network is none of timm's, which end in one linear layer on pooled "
            "features of all stages; use --to safetensors or --to onnx"
        )
    classifier.load_state_dict(layers[-1].state_dict())
    about = {
        "label_names": list(trained.classes),
        # The rest of it is about the weights that timm publishes by this name.
        "pretrained_cfg": {
            **seen,
            "input_size": (3, *size),
            **dict.fromkeys(OF_OTHERS),
        },
    }
    save_for_hf(net, str(folder), about, model_args=options, safe_serialization=True)


def _open_timm(folder: Path) -> Logits:
    net: nn.Module = timm.create_model(f"local-dir:{folder}", pretrained=True)
    return net.eval()


@contextmanager
def _quiet() -> Iterator[None]:
    """Exporters print how far they are, and warn of what is checked here."""
    with warnings.catch_warnings(action="ignore"), redirect_stdout(StringIO()):
        yield


FORMATS = {
    "onnx": Format(
        "model.onnx",
        _write_onnx,
        None,
        "onnxruntime:ONNX Runtime",
        needs=("onnx", "onnxruntime", "onnxscript"),
    ),
    "torch_export": Format(
        "model.pt2", _write_torch_export, _open_torch_export, "torch:torch.export"
    ),
    "timm": Format("model.safetensors", _write_timm, _open_timm, "timm"),
    "safetensors": Format("model.safetensors", _write_safetensors, None, "regraft"),
}
