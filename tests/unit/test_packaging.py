"""The versions that are tested are pinned."""

import tomllib
from itertools import chain
from pathlib import Path


def test_constraints_pin_every_direct_dependency_once_and_name_no_place(repository: Path):
    lines = (repository / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    names = [pin.split("==")[0].lower().replace("_", "-") for pin in pins]
    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    wanted = list(chain(project["dependencies"], *project["optional-dependencies"].values()))

    assert {requirement.split(">=")[0] for requirement in wanted} <= set(names)
    assert len(names) == len(set(names))
    assert not [pin for pin in pins if "://" in pin or "@" in pin or pin.count("==") != 1]
