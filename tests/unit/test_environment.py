import os
import re

import pytest
from omegaconf import OmegaConf

from regraft import wandb_service
from regraft.complaints import explain
from regraft.config import resolved
from regraft.environment import NAMES, cores, is_on
from regraft.errors import RegraftError
from regraft.launch import TRACEBACK
from regraft.masking import is_secret
from regraft.paths import conf_folder
from regraft.rank import rank


def value(text):
    return resolved(OmegaConf.create({"key": text}))["key"]


def test_a_listed_variable_is_read(monkeypatch):
    monkeypatch.setenv("DATA_ROOT", "/data")
    assert value("${oc.env:DATA_ROOT}/birds") == "/data/birds"
    monkeypatch.setenv("DATA_ROOT", "")
    assert value("${oc.env:DATA_ROOT}") == ""
    assert value("${oc.env:DATA_ROOT,here}") == "here"
    monkeypatch.delenv("DATA_ROOT")
    assert value("${oc.env:DATA_ROOT,here}") == "here"
    assert value("${oc.env:DATA_ROOT,null}") is None
    assert value("${oc.env:DATA_ROOT,3}") == "3"


@pytest.mark.parametrize("text", ["${oc.env:WANDB_API_KEY}", "${oc.env:HOM,x}", "${oc.env:DATA}"])
def test_any_other_is_one_line(text, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "correct-horse")
    monkeypatch.delenv("DATA", raising=False)
    with pytest.raises(RegraftError) as caught:
        value(text)
    said = explain(caught.value)
    assert said.startswith(text.replace(",x", ""))
    assert "correct-horse" not in said
    assert ("did you mean 'HOME'" in said) == ("HOM" in text)


def test_a_secret_is_no_name_of_the_list_and_the_page_names_them_all():
    assert not [name for name in NAMES if is_secret(name.lower())]
    page = (conf_folder().parent / "docs" / "safety.md").read_text()
    assert all(f"`{name}`" in page for name in NAMES)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="not on this system")
def test_the_cores_are_those_that_this_process_may_use():
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert cores() <= len(allowed)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"cpu.max": "200000 100000"}, 2),
        ({"cpu.max": "max 100000"}, 16),
        ({"cpu/cpu.cfs_quota_us": "300000", "cpu/cpu.cfs_period_us": "100000"}, 3),
        ({}, 16),
    ],
    ids=["v2", "v2 without a limit", "v1", "none"],
)
def test_a_container_may_use_the_share_that_it_is_given(files, expected, tmp_path, monkeypatch):
    """What joblib reads of the system lies in this folder: 16 cores, and a limit."""
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)

    def here(name):
        return str(name).replace("/sys/fs/cgroup", str(tmp_path))

    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    monkeypatch.setattr(os.path, "exists", lambda name, real=os.path.exists: real(here(name)))
    monkeypatch.setattr("builtins.open", lambda name, *more, real=open: real(here(name), *more))
    assert cores() == expected


@pytest.mark.parametrize(("task", "expected"), [("3", 3), ("64", 16), ("", 16), ("x", 16)])
def test_a_task_of_slurm_may_use_what_it_has_asked_for(task, expected, monkeypatch):
    monkeypatch.setattr("joblib.cpu_count", lambda: 16)
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", task)
    assert cores() == expected


def test_nobody_counts_the_cores_of_the_machine_instead():
    """That is what `os.cpu_count` and its relatives do."""
    root = conf_folder().parent
    files = [
        path
        for name in ("src", "tests/support", "benchmarks")
        for path in (root / name).rglob("*.py")
    ]
    asking = {
        path.name for path in files if re.search(r"cpu_count|sched_getaffinity", path.read_text())
    }
    assert asking == {"environment.py"}


@pytest.mark.parametrize(
    ("text", "on"),
    [
        *((text, False) for text in (None, "", " ", "0", "False", "no", "off")),
        *((text, True) for text in ("1", "true", "yes", "2")),
    ],
)
def test_a_switch_that_says_no_is_off(text, on, monkeypatch):
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    if text is not None:
        monkeypatch.setenv("HYDRA_FULL_ERROR", text)
    assert is_on("HYDRA_FULL_ERROR") == on


@pytest.mark.parametrize("name", ["HYDRA_FULL_ERROR", TRACEBACK])
def test_tracebacks_are_shown_where_they_are_asked_for(name, train):
    for text, shown in (("", False), ("0", False), ("no", False), ("1", True)):
        done = train("optimizer.lr=abc", **{name: text})
        assert ("Traceback" in done.stderr) == shown
        assert done.stderr.splitlines()[-1].startswith("error: optimizer.lr=abc: must be a number")


def test_nothing_is_asked_by_being_there(repository):
    """A variable that is set to nothing, or to 0, is one that is not set."""
    asking = re.compile(r"\bin os\.environ\b(?![.\[])")
    sources = sorted((repository / "src").rglob("*.py"))
    found = [file.name for file in sources if asking.search(file.read_text(encoding="utf-8"))]
    assert found == ["environment.py"]


def test_numbers_of_processes_that_are_none_are_those_of_a_single_one(monkeypatch):
    for text in ("", "none", "-1", "1.5"):
        monkeypatch.setenv("WORLD_SIZE", text)
        monkeypatch.setenv("LOCAL_RANK", text)
        assert rank.__wrapped__() == 0
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert rank.__wrapped__() == 0
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert rank.__wrapped__() == 1


def test_an_empty_variable_of_wandb_is_none(monkeypatch):
    for name in ("WANDB_MODE", "WANDB_SILENT", "WANDB_DISABLED"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("WANDB_PROJECT", "mine")
    wandb_service.forget_empty()
    there = {name for name in os.environ if name.startswith("WANDB_")}
    assert there.isdisjoint({"WANDB_MODE", "WANDB_SILENT", "WANDB_DISABLED"})
    assert os.environ["WANDB_PROJECT"] == "mine"


def test_an_empty_mode_of_wandb_is_none(monkeypatch):
    monkeypatch.setattr(wandb_service.wandb, "login", lambda **_: True)
    monkeypatch.setenv("WANDB_MODE", "")
    assert wandb_service.wandb_mode() == "online"
