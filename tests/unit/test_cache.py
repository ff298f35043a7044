"""`regraft cache`: what is there, how much, and how to be rid of it."""

import os
import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from regraft.cli import app
from regraft.fingerprint import key
from regraft.paths import features_folder, file_lock
from regraft.store import Store

ROWS = np.zeros((1200, 1000), np.float16)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("REGRAFT_CACHE", str(tmp_path))
    return tmp_path


@pytest.fixture
def two(folder: Path) -> Store:
    """One array used just now, one used 40 days ago."""
    store = Store(features_folder())
    for name, days in (("pets", 0), ("[bold]flowers", 40)):
        about = {"backbone": "resnet18", "stages": "stem to 3", "data": name}
        store.compute(key(name=name), ROWS.shape, ROWS.dtype, [ROWS], about)
        then = time.time() - days * 24 * 3600
        for path in (store.root / key(name=name)).iterdir():
            os.utime(path, (then, then))
    return store


def regraft(*words: str) -> Result:
    return CliRunner().invoke(app, ["cache", *words])


@pytest.mark.parametrize("words", [(), ("list",)])
def test_the_list_shows_each_entry_the_total_and_the_place(two, words):
    done = regraft(*words)
    pets, flowers = (line for line in done.stdout.splitlines() if "resnet18" in line)

    assert done.exit_code == 0
    for part in (key(name="pets")[:8], "stem to 3", "pets", "1,200", "float16", "2.4 MB", "0m"):
        assert part in pets
    for part in (key(name="[bold]flowers")[:8], "[bold]flowers", "40d"):
        assert part in flowers
    assert f"2 entries, 4.8 MB in {two.root}" in done.stdout


def test_an_empty_cache_says_where_it_would_be(folder):
    done = regraft()

    assert done.exit_code == 0
    assert f"no features in {folder / 'features'}" in done.stdout


def test_rendered_images_and_a_damaged_entry_are_in_the_list(two, folder):
    (folder / "fractals").mkdir()
    (folder / "fractals" / "images.npy").write_bytes(bytes(3_000_000))
    (two.root / key(name="pets") / "entry.json").write_text("no json")
    done = regraft()

    assert done.exit_code == 0
    assert f"3.0 MB of rendered images in {folder / 'fractals'}" in done.stdout
    [line] = (line for line in done.stdout.splitlines() if key(name="pets")[:8] in line)
    assert "(damaged)" in line


@pytest.mark.parametrize("words", [[], ["prune", "--all"]])
def test_a_file_where_the_cache_should_be_is_named(words, folder, monkeypatch):
    (folder / "file").touch()
    monkeypatch.setenv("REGRAFT_CACHE", str(folder / "file"))
    done = regraft(*words)

    assert done.exit_code == 1
    assert done.stderr.startswith(f"error: {folder / 'file'} is a file; remove it or set REGRAFT_")


@pytest.mark.parametrize(
    ("words", "left"),
    [
        (["--older-than", "30d"], ["pets"]),
        (["--older-than", "6w"], ["pets", "[bold]flowers"]),
        (["--max-gb", "0.003"], ["pets"]),
        (["--max-gb", "1"], ["pets", "[bold]flowers"]),
        (["--all"], []),
    ],
    ids=" ".join,
)
def test_pruning_removes_what_it_is_told_and_says_how_much(two, words, left):
    done = regraft("prune", *words)
    gone = 2 - len(left)

    assert done.exit_code == 0
    assert f"removed {gone} {'entry' if gone == 1 else 'entries'}, " in done.stdout
    assert str(two.root) in done.stdout
    assert {entry.key for entry in two.entries()} == {key(name=name) for name in left}


@pytest.fixture
def weights(folder: Path) -> Path:
    """Pretrained weights used 20 days ago, and what a killed job has left of others."""
    made = folder / "pretrained" / key(name="weights")
    made.mkdir(parents=True)
    (made / "trunk.safetensors").write_bytes(bytes(1_000_000))
    (made / "trunk.json").touch()
    then = time.time() - 20 * 24 * 3600
    for path in made.iterdir():
        os.utime(path, (then, then))
    (made.parent / f".{key(name='killed')}.part").mkdir()
    return made


@pytest.mark.parametrize(
    ("words", "left"),
    [
        (["--older-than", "30d"], ["pets", "weights"]),
        (["--older-than", "10d"], ["pets"]),
        (["--max-gb", "0.0035"], ["pets", "weights"]),
        (["--max-gb", "0.003"], ["pets"]),
        (["--all"], []),
    ],
    ids=" ".join,
)
def test_pretrained_weights_are_removed_as_features_are(two, weights, words, left):
    done = regraft("prune", *words)
    found = [entry.key for entry in two.entries()]
    found += [path.name for path in weights.parent.iterdir() if path.is_dir()]

    assert done.exit_code == 0
    assert sorted(found) == sorted(key(name=name) for name in left)
    gone = "1 entry, 0 bytes" if "weights" in left else "2 entries, 1.0 MB"
    assert f"removed {gone} of pretrained weights; left: " in done.stdout


def test_weights_that_a_job_is_making_stay(weights):
    part = weights.parent / f".{key(name='killed')}.part"
    with file_lock(weights.parent / f".{key(name='killed')}.lock"):
        regraft("prune", "--all")
        assert part.is_dir()
    assert not weights.exists()
    regraft("prune", "--all")
    assert not part.exists()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([], "say what to remove"),
        (["--older-than", "soon"], "--older-than soon: give a number and m, h, d or w"),
        (["--older-than", "-3d"], "--older-than -3d"),
        (["--max-gb", "much"], "--max-gb much: give how many GB"),
        (["--max-gb", "-1"], "--max-gb -1"),
        (["--max-gb", "nan"], "--max-gb nan"),
        (["--all", "--max-gb", "1"], "--all removes everything"),
        (["--all", "--older-than", "3d"], "--all removes everything"),
    ],
)
def test_a_wrong_word_removes_nothing_and_is_one_line(two, words, complaint):
    done = regraft("prune", *words)

    assert done.exit_code == 1
    assert done.stderr.startswith("error: ")
    assert complaint in done.stderr
    assert done.stderr.count("\n") == 1
    assert len(two.entries()) == 2
