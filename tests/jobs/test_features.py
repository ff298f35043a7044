"""Trainings on what was computed once: the same as on the images, and never on what is stale."""

import json
import shutil

import families
import numpy as np
import pytest
import runs
from jobs import run_job
from PIL import Image
from runs import TINY

from regraft.store import NotStoredError, Store

DEFAULT = ("optimizer=sgd", "head.dropout=0", "features.dtype=float32")


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("REGRAFT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def result(folder):
    return json.loads((folder / "result.json").read_text())


def the_same(off, on):
    """Asserts that a run on features has gone as one on images has."""
    assert (off.result["cost"]["cache"], on.result["cost"]["cache"]) == ("off", "miss")
    assert len(on.witness["losses"]) == 3
    assert on.witness["losses"] == pytest.approx(off.witness["losses"], rel=1e-4, abs=1e-5)
    assert on.witness["rates"] == off.witness["rates"]
    histories = [(run.folder / "metrics.csv").read_text().split() for run in (off, on)]
    for one, other in zip(*histories, strict=True):
        for a, b in zip(one.split(","), other.split(","), strict=True):
            assert a == b or float(a) == pytest.approx(float(b), rel=1e-4, abs=1e-5)
    assert on.result["metrics"] == pytest.approx(off.result["metrics"], rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("family", families.FAMILIES)
def test_a_training_goes_the_same_way_with_and_without_the_cache(family, finished_run):
    the_same(*(finished_run(*TINY, *families.cut(family, use)) for use in ("off", "on")))


def test_a_head_alone_is_trained_the_same_way_with_and_without_the_cache(finished_run):
    the_same(*(finished_run(*TINY, *DEFAULT, f"features={use}") for use in ("off", "on")))


def test_rare_classes_are_favoured_alike_with_and_without_the_cache(tmp_path):
    shutil.copytree(runs.stripes(), tmp_path / "uneven")
    for number in range(3, 12):
        (tmp_path / "uneven" / "train" / "down" / f"{number:02}.png").unlink()

    def metrics(use, balance):
        words = [f"data.root={tmp_path / 'uneven'}", f"features={use}", f"balance={balance}"]
        run_job(tmp_path / use / balance, *TINY, *DEFAULT, *words)
        return result(tmp_path / use / balance)["metrics"]

    none = metrics("on", "none")
    for balance in ("sampler", "weights"):
        on = metrics("on", balance)
        assert on == pytest.approx(metrics("off", balance), rel=1e-4, abs=1e-5)
        assert on["val/loss"] != pytest.approx(none["val/loss"], rel=1e-3)


def test_a_hit_trains_exactly_as_a_miss_did_and_forwards_no_image(
    finished_run, own_cache, tmp_path
):
    missed = finished_run(*TINY)
    shutil.copytree(missed.folder.parent / "cache", own_cache)
    run_job(tmp_path / "hit", *TINY)
    miss, hit = (result(folder)["cost"] for folder in (missed.folder, tmp_path / "hit"))

    assert result(tmp_path / "hit")["metrics"] == missed.result["metrics"]
    for name in ("metrics.csv", "predictions.csv"):
        assert (tmp_path / "hit" / name).read_bytes() == (missed.folder / name).read_bytes()
    assert (miss["cache"], miss["images_forwarded"]) == ("miss", 24 + 8 + 8)
    assert (hit["cache"], hit["images_forwarded"]) == ("hit", 0)
    assert hit["cache_bytes"] == (24 + 8 + 8) * 160 * 2
    assert isinstance(hit["saved_s"], float)  # of images as small as these, nothing


def test_an_image_file_that_is_overwritten_is_computed_again(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("ant", "bee"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for index in range(10):
            pixels = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "data" / name / f"{index}.bmp")

    def forwarded(name):
        run_job(tmp_path / name, *TINY, f"data.root={tmp_path / 'data'}")
        return result(tmp_path / name)["cost"]["images_forwarded"]

    assert forwarded("first") == 20
    path = sorted((tmp_path / "data" / "ant").iterdir())[0]
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)  # as long as before
    assert 0 < forwarded("changed") < 20


def test_a_job_on_a_full_disk_ends_all_the_same_and_says_so(tmp_path, monkeypatch):
    def full(*_):
        raise NotStoredError("/disk: no space left; 3 MB could not be kept")

    monkeypatch.setattr(Store, "compute", full)
    run_job(tmp_path / "run", *TINY)
    found = result(tmp_path / "run")
    assert found["cost"]["cache"] == "off"
    assert found["cost"]["images_forwarded"] == 24 + 8 + 8 + 8
    assert "no space left" in found["features"]
    assert not any(row["cached"] for row in found["plan"])
