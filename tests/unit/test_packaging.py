"""The versions that are tested are locked, with hashes; and what installs them."""

import importlib.util
import re
import tomllib
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

LOCKS = ("requirements.txt", "constraints.txt")


@pytest.fixture
def install(repository):
    """install.py, which is no part of the package."""
    spec = importlib.util.spec_from_file_location("install", repository / "install.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def project(repository):
    return tomllib.loads((repository / "pyproject.toml").read_text())


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_pins_each_package_once_with_hashes_and_names_no_place(lock, repository, install):
    text = (repository / lock).read_text()
    pins = install.pins(text)
    assert len(pins) > 100
    assert "".join(pins.values()) == text[text.index(next(iter(pins.values()))) :]  # all of it
    for pin in pins.values():
        heads = re.findall(r"^[\w.-]+==\S+( ; .+)? \\\n    --hash=sha256:[0-9a-f]{64}\b", pin, re.M)
        assert len(heads) == len(re.findall(r"^\S", pin, re.M)), pin
        assert len(heads) == 1 or all(heads), pin  # each for some versions of Python
    assert not re.findall("://| @ |--(?!hash)", text)


def test_the_locks_hold_every_direct_dependency_and_what_builds_the_project(
    repository, project, install
):
    lean, all_ = (install.pins((repository / lock).read_text()) for lock in LOCKS)
    needed = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    extras = project["project"]["optional-dependencies"]
    extras = chain(*(wanted for name, wanted in extras.items() if name != "bench"))
    for wanted, pins in ((needed, lean), ([*needed, *extras], all_)):
        for requirement in map(Requirement, wanted):
            version = install.version_of(pins[canonicalize_name(requirement.name)])
            assert requirement.specifier.contains(version), requirement
    for name, pin in lean.items():
        assert install.version_of(pin) == install.version_of(all_[name])


def test_floors_are_above_the_holes_that_are_known(project):
    """Of November 2026; `make audit` asks for those of today."""
    extras = chain(*project["project"]["optional-dependencies"].values())
    floors = {
        "pytorch-lightning": "2.6.6", "torch": "2.10", "torchvision": "0.25", "onnx": "1.21",
        "pillow": "12.3", "datasets": "5.0.1", "timm": "1.0.28",
    }  # fmt: skip
    for requirement in map(Requirement, chain(project["project"]["dependencies"], extras)):
        if floor := floors.get(requirement.name):
            older = ".".join([*floor.split(".")[:-1], str(int(floor.split(".")[-1]) - 1)])
            assert not requirement.specifier.contains(older), requirement


def test_actions_of_workflows_are_pinned_by_digest(repository):
    texts = [path.read_text() for path in (repository / ".github" / "workflows").iterdir()]
    used = [line for text in texts for line in re.findall("uses: (.*)", text)]
    assert used
    assert not [one for one in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}  # v[\d.]+", one)]


@pytest.fixture
def commands(install, monkeypatch):
    """Commands that install.py would run, of which those with a word in `failing` fail."""
    found, failing = [], set()

    def run(command, *, guess=False):
        assert guess or not failing & {*command}
        found.append(command[1:])
        return not failing & {*command}

    monkeypatch.setattr(install, "run", run)
    monkeypatch.setattr(install, "is_without_card", lambda: False)
    monkeypatch.setattr(install.metadata, "version", lambda _: "0.1")
    for name in ("TORCH_INDEX", "UV_TORCH_BACKEND"):
        monkeypatch.delenv(name, raising=False)
    return found, failing


def installed(install, monkeypatch):
    """The names that are installed from locks, call by call."""
    names = []
    monkeypatch.setattr(install, "install", lambda wanted: names.append([*wanted]))
    return names


@pytest.mark.parametrize("lock", LOCKS)
def test_all_of_a_lock_is_installed_and_then_the_project(
    lock, install, commands, monkeypatch, capsys
):
    names = installed(install, monkeypatch)
    install.main(lock)
    [all_of_it] = names
    assert {"torch", "triton", "hatchling"} <= {*all_of_it}
    assert ("pytest" in all_of_it) == (lock == "constraints.txt")
    [project] = commands[0]
    assert project[-4:-1] == ["--no-deps", "--no-build-isolation", "-e"]
    said = capsys.readouterr().out
    assert f"Installing {len(all_of_it)} packages of {lock}: " in said
    assert " GB on the disk" in said
    assert re.search(r"Installed in 0 min \d s\.\n$", said)


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("UV_TORCH_BACKEND", "cpu", ["--torch-backend", "cpu"]),
        ("TORCH_INDEX", "somewhere", ["--index-url", "somewhere"]),
    ],
)
def test_torch_comes_from_where_the_environment_says_and_without_cuda_of_the_lock(
    variable, value, words, install, commands, monkeypatch
):
    monkeypatch.setenv(variable, value)
    names = installed(install, monkeypatch)
    install.main("requirements.txt")
    taken = commands[0][0]
    assert taken[-4:-2] == words
    assert [word.partition("==")[0] for word in taken[-2:]] == ["torch", "torchvision"]
    assert not [
        n
        for n in names[-1]
        if n.startswith(("nvidia-", "cuda-", "torch", "triton")) and n != "torchmetrics"
    ]


@pytest.mark.parametrize("reached", [True, False])
def test_without_a_card_torch_without_cuda_is_tried_for_what_the_program_needs(
    reached, install, commands, monkeypatch, capsys
):
    monkeypatch.setattr(install, "is_without_card", lambda: True)
    commands[1].update(() if reached else ["--torch-backend"])
    names = installed(install, monkeypatch)
    install.main("requirements.txt")
    assert names[0] == ["uv"]  # with its hash
    assert ("triton" in names[1]) == (not reached)
    assert ("cannot be had from here" in capsys.readouterr().out) == (not reached)
    before = len(commands[0])
    install.main("constraints.txt")  # of which nothing is guessed, as tests want what is locked
    assert len(commands[0]) == before + 1


def test_a_torch_that_was_taken_from_elsewhere_stays(install, commands, monkeypatch):
    pins = install.pins(Path(install.HERE, "constraints.txt").read_text())
    version = install.version_of(pins["torch"])
    monkeypatch.setattr(install.metadata, "version", lambda _: f"{version}+cpu")
    names = installed(install, monkeypatch)
    install.main("constraints.txt")
    assert "torch" not in names[0]
    assert "pytest" in names[0]
