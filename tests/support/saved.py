"""Checkpoints as finished runs leave them, without a training."""

import torch
from omegaconf import OmegaConf

from regraft.config import build
from regraft.model import Network
from regraft.paths import conf_folder
from regraft.plan import drop_unread


def option(group, file, **changes):
    """An option's YAML with other values, as plain data."""
    return {
        **OmegaConf.to_container(OmegaConf.load(conf_folder() / group / f"{file}.yaml")),
        **changes,
    }


def network_of(config, classes):
    """The network of a config with random weights in every tensor, a head's zeros too."""
    backbone = build(OmegaConf.create(config["backbone"]))
    plan = build(OmegaConf.create(config["freeze"]), len(backbone.stages), 100)
    backbone.graft(dropped=plan.indices("drop"))
    head = build(
        OmegaConf.create(config["head"]), backbone.out_features, backbone.map_shape, classes
    )
    drop_unread(plan, backbone, head.takes)
    network = Network(backbone, head).eval()
    with torch.no_grad():
        for parameter in network.head.parameters():
            parameter.normal_(std=0.05)
    return network


def run(folder, *, classes=("ant", "bee", "cat"), calibration=None, id=None, seed=0, **config):
    """A run's folder with the checkpoint of an untrained network, and the network.

    By default `fractal_resnet` and a linear head; `config` has other options by group.
    """
    torch.manual_seed(seed)
    config = {
        "backbone": option("backbone", "fractal_resnet"),
        "freeze": option("freeze", "none"),
        "head": option("head", "linear"),
    } | config
    network = network_of(config, len(classes))
    card = {"config": config, "classes": list(classes), "input": vars(network.backbone.input)}
    card["calibration"] = calibration or {"temperature": 1.0, "threshold": None, "precision": None}
    if id is not None:
        card["run"] = id
    path = folder / "checkpoints" / "best.ckpt"
    path.parent.mkdir(parents=True)
    torch.save({"regraft": card, "state_dict": network.state_dict()}, path)
    return network
