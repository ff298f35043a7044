"""The worked examples: every command of their pages runs, on a small stand-in for the data."""

import json
import re
import shlex
from pathlib import Path

import pytest
import standins

DOCS = Path(__file__).parents[2] / "docs"
# What makes a command of the page a matter of seconds and of no network.
QUICK = ["backbone=fractal_resnet", "trainer.max_epochs=1", "logger=none", "backbone.size=32"]
SHORT = {
    "seed=0,1,2": "seed=0",
    "data.fold=0,1,2,3,4": "data.fold=4",
    "freeze.stages=1,2,3,4": "freeze.stages=1,4",
    "balance=none,weights,sampler": "balance=weights,sampler",
    "features.views=8": "",
    "backbone.size=96": "",
}
STANDINS = {
    "birds": lambda folder: standins.birds(folder / "garden", 12),
    "emotions": lambda folder: standins.emotions(folder / "faces" / "fer2013", 80),
}


def commands(page):
    found = re.findall(r"^python train\.py (.+)$", (DOCS / f"{page}.md").read_text(), re.MULTILINE)
    return [[SHORT.get(word, word) for word in shlex.split(line)] for line in found]


@pytest.mark.parametrize(
    ("page", "words"),
    [(page, words) for page in STANDINS for words in commands(page)],
    ids=lambda value: value if isinstance(value, str) else " ".join(value[-2:]),
)
def test_every_command_of_an_example_runs(page, words, tmp_path, train, monkeypatch):
    monkeypatch.setattr("regraft.collect.MIN_STEPS", 5)  # of each of 18 trainings
    STANDINS[page](tmp_path)
    done = train(*filter(None, words), *QUICK)
    assert done.returncode == 0, done.stderr
    results = [json.loads(path.read_text()) for path in tmp_path.rglob("result.json")]
    assert results
    for result in results:
        assert (result["status"], result["choices"]["preset"]) == ("finished", page)
        assert 0 <= result["metrics"]["test/acc"] <= 1


def test_every_example_has_a_preset_and_the_other_way_round():
    presets = {path.stem for path in (DOCS.parent / "conf" / "preset").glob("*.yaml")}
    assert presets - {"pretrain_fractals"} == set(STANDINS)
    assert all(commands(page) for page in STANDINS)
