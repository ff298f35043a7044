"""Whether the pretrained weights are on this machine, and what may be done with them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import constants, try_to_load_from_cache
from rich.filesize import decimal

from regraft.backbone import Backbone
from regraft.doctor.findings import Finding, green, red, yellow
from regraft.network import answers
from regraft.weights import PERMISSIVE, published

REACH_S = 3.0  # until a hub that does not answer is taken for no network


@dataclass(frozen=True)
class Pretrained:
    """Where weights come from, under which licence, and whether that needs a network."""

    source: str
    license: str | None
    here: bool
    own: bool  # a file of the user's


def find(backbone: Backbone) -> Pretrained | None:
    """Look for the backbone's weights without a network; None for random ones."""
    if backbone.weights == "random":
        return None
    if backbone.weights != "pretrained":
        return Pretrained(backbone.weights, None, here=True, own=True)  # or `graft` says it is not
    config: dict[str, Any] = dict(getattr(backbone.net, "pretrained_cfg", {}))
    licence = config.get("license")
    if file := config.get("file"):
        return Pretrained(Path(file).name, licence, here=True, own=False)
    repository, files = published(backbone.name, config)
    here = any(isinstance(try_to_load_from_cache(repository, file), str) for file in files)
    return Pretrained(repository, licence, here=here, own=False)


def weights(pretrained: Pretrained | None, parameters: int) -> list[Finding]:
    """Findings about weights for a network of so many parameters."""
    if pretrained is None:
        return [green("weights", "none are used: every trained stage starts from random numbers")]
    source, licence = pretrained.source, pretrained.license
    if pretrained.own:
        return [green("weights", f"{source}: your own file")]
    findings = []
    if pretrained.here:
        findings.append(green("weights", f"{source} is on this machine, licence {licence}"))
    else:
        size, hub = decimal(4 * parameters), constants.ENDPOINT
        found = f"{source} is not on this machine; about {size} to download from {hub}"
        fix = "train where there is a network, or backbone.weights=<file> if you have the file"
        if answers(hub, within=REACH_S):
            findings.append(yellow("weights", found, fix))
        else:
            findings.append(red("weights", f"{found}, which does not answer", fix))
    if not (licence or "").lower().startswith(PERMISSIVE):
        found = f"{source} has the licence {licence or '(none is stated)'}"
        fix = "read it before you publish or sell, or choose another backbone"
        findings.append(yellow("licence", found, fix))
    return findings
