import os

import pytest
from omegaconf import OmegaConf

from regraft.complaints import explain
from regraft.config import resolved
from regraft.environment import NAMES, cores
from regraft.errors import RegraftError
from regraft.masking import is_secret
from regraft.paths import conf_folder


def value(text):
    return resolved(OmegaConf.create({"key": text}))["key"]


def test_a_listed_variable_is_read(monkeypatch):
    monkeypatch.setenv("DATA_ROOT", "/data")
    assert value("${oc.env:DATA_ROOT}/birds") == "/data/birds"
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
    assert cores() == len(allowed)
