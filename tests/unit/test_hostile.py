"""Presets, checkpoints, images and tables that mean harm: none runs its payload, each is one line.

A payload makes the file `canary` in the current folder. That payloads work where nothing is in
their way is tested too, for otherwise these tests could not fail.
"""

import csv
import tracemalloc
from pathlib import Path

import pytest
import torch
import yaml
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from PIL import EpsImagePlugin, Image, PngImagePlugin

from regraft import config, hydra_internals, trained, weights
from regraft.calibration import Calibration
from regraft.complaints import explain
from regraft.data.images import Images
from regraft.data.manifest import manifest
from regraft.data.readable import unreadable
from regraft.data.transforms import InputConfig, UnreadableImageError, read_image
from regraft.errors import RegraftError
from regraft.hydra_loader import Loader
from regraft.outputs import write_predictions
from regraft.paths import conf_folder
from regraft.pictures import read_test
from regraft.predictions import NAME

HERE = Path(__file__).parents[1] / "support" / "hostile"
FILES = sorted(
    path.relative_to(HERE).as_posix()
    for path in HERE.rglob("*")
    if path.is_file() and path.suffix not in (".py", ".md", ".pyc")
)
PRESETS = {path.stem: path for path in sorted((HERE / "conf" / "preset").glob("*.yaml"))}
SECRET = "correct-horse-battery"
COMMAND_LINE = "only the command line may say this"
SAID = {  # a part of what is said of each preset
    "os_system": "head._target_=os.system: not from a trusted module",
    "subprocess_popen": "optimizer._target_=subprocess.Popen: not from a trusted module",
    "builtins_exec": "scheduler._target_=builtins.exec: not from a trusted module",
    "torch_hub_load": "backbone._target_=torch.hub.load: makes no Backbone",
    "torch_load": "data._target_=torch.load: makes no Source",
    "torch_save": "callbacks.x._target_=torch.save: makes no Callback",
    "cpp_extension": "load_inline: makes no Callback",
    "download": "download_and_extract_archive: makes no Source",
    "alias_of_pathlib": "regraft.tracking.Path.touch: not from a trusted module",
    "private_function": "regraft.tracking._git: what begins with _ is not built from a config",
    "public_function": "head._target_=regraft.tracking.git: makes no Head",
    "method": "load_from_checkpoint: makes no Images",
    "other_kind": "pytorch_lightning.callbacks.Timer: makes no Optimizer",
    "part": "trainer.plugins.0._target_=logging.FileHandler: not from a trusted module",
    "part_of_a_head": "head.hidden._target_=torch.save: nothing is built here",
    "key_of_its_own": "_target_=torch.save: nothing is built here",
    "by_interpolation": "callbacks.x._target_=torch.save: makes no Callback",
    "positional": "callbacks.x._args_: only _target_ is read here",
    "partial": "callbacks.x._partial_: only _target_ is read here",
    "python_tag": "python/object/apply:os.system",
    "checkpoint_elsewhere": "callbacks.checkpoint.dirpath=canary: a preset writes below",
    "trunk_elsewhere": "callbacks.export_trunk.path=${output_dir}/../../../../canary: a preset",
    "profiler_elsewhere": "trainer.profiler.dirpath=.: a preset writes below",
    "secret": "${oc.env:HOSTILE_SECRET}: a config may not read this variable",
    "hydra_callbacks": f"hydra.callbacks.x._target_: {COMMAND_LINE}",
    "hydra_job_logging": f"hydra.job_logging.handlers.x.class: {COMMAND_LINE}",
    "hydra_logging": f"hydra.hydra_logging.filters.x.(): {COMMAND_LINE}",
    "hydra_env_option": f"hydra.callbacks.x._target_: {COMMAND_LINE}",
    "hydra_env_set": f"hydra.job.env_set.LD_PRELOAD: {COMMAND_LINE}",
    "hydra_trusts_itself": f"hydra.job.env_set.REGRAFT_TRUST: {COMMAND_LINE}",
    "hydra_env_copy": f"hydra.job.env_copy.0: {COMMAND_LINE}",
    "hydra_run_dir": f"hydra.run.dir: {COMMAND_LINE}",
    "hydra_sweep_subdir": f"hydra.sweep.subdir: {COMMAND_LINE}",
    "hydra_job_name": f"hydra.job.name: {COMMAND_LINE}",
    "hydra_launcher_setup": f"hydra.launcher._target_: {COMMAND_LINE}",
    "hydra_launcher_line": "hydra.launcher.partition: give a plain value on one line",
    "hydra_search_space": f"hydra.sweeper.custom_search_space: {COMMAND_LINE}",
    "hydra_swept": "only the command line may sweep over this",
    "swept_elsewhere": "only the command line may sweep over this",
    "hydra_interpolation": f"hydra: {COMMAND_LINE}",
    "relocated": "may not be put into hydra.callbacks",
    "aliases": "aliases.yaml: more than 10,000 values by aliases (*); write it out",
    "leads_up": "an option lies in a folder of options, not above it",
}


@pytest.fixture(autouse=True)
def somewhere(tmp_path, monkeypatch):
    """An empty folder for a canary, and a secret that nobody is to see."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOSTILE_SECRET", SECRET)
    for name in ("zipped.pth", "lightning.ckpt"):
        (tmp_path / name).write_bytes((HERE / "checkpoints" / name).read_bytes())
    (tmp_path / "hubconf.py").write_text("def canary():\n    open('canary', 'w')\n")


def canary():  # whether a payload has run
    return Path("canary").exists()


def composed(preset):
    words = [f"hydra.searchpath=[file://{HERE / 'conf'}]", f"preset={preset}", "output_dir=x"]
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        return compose("config", words)


def one_line(error):
    text = explain(error)
    assert len(text.splitlines()) == 1
    assert text.isprintable()
    assert SECRET not in text
    return text


def test_the_table_lists_every_file():
    listed = [line.split("`")[1] for line in (HERE / "README.md").read_text().splitlines()[9:]]
    assert sorted(listed) == FILES
    assert len(FILES) >= 40
    assert SAID.keys() == PRESETS.keys()


# Presets.


BY_HYDRA = [name for name in PRESETS if COMMAND_LINE in SAID[name]]  # if nobody looked


@pytest.mark.parametrize("preset", [name for name in PRESETS if name not in BY_HYDRA])
def test_a_preset_is_refused_in_one_line(preset, monkeypatch):
    monkeypatch.setattr(hydra_internals.app, "ConfigLoaderImpl", Loader)
    with pytest.raises((RegraftError, OmegaConfBaseException, yaml.YAMLError)) as caught:
        config.check(composed(preset))
    assert SAID[preset] in one_line(caught.value)
    assert not canary()


@pytest.mark.parametrize(
    ("preset", "key"),
    [
        ("torch_save", "callbacks.x"),
        ("alias_of_pathlib", "callbacks.x"),
        ("by_interpolation", "callbacks.x"),
        ("part_of_a_head", "head.hidden"),
    ],
)
def test_what_presets_would_build_works_where_nobody_looks(preset, key):
    instantiate(OmegaConf.select(composed(preset), key))
    assert canary()


@pytest.mark.parametrize("preset", BY_HYDRA)
def test_a_preset_is_refused_by_the_real_command_line(preset, train):
    done = train("--config-dir", str(HERE / "conf"), f"preset={preset}", "logger=none")
    assert done.returncode == 1
    [line] = done.stderr.strip().splitlines()
    assert line.startswith("error: ")
    assert SAID[preset] in line
    assert line.isprintable()
    assert SECRET not in done.stdout + done.stderr
    assert not canary()


# Checkpoints.

CHECKPOINTS = ["zipped.pth", "legacy.pt", "lightning.ckpt", "renamed.safetensors", "folder"]


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_a_checkpoint_is_refused_in_one_line(name):
    path = HERE / "checkpoints" / name
    with pytest.raises(RegraftError) as caught:
        weights.load("tiny", str(path), torch.nn.Linear(1, 2))
    assert str(path) in one_line(caught.value)
    assert not canary()


@pytest.mark.parametrize("name", ["zipped.pth", "legacy.pt", "lightning.ckpt"])
def test_nor_is_it_taken_for_a_run(name):
    path = HERE / "checkpoints" / name
    with pytest.raises(RegraftError) as caught:
        trained.read(path)
    assert str(path) in one_line(caught.value)
    assert not canary()


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_what_is_in_a_checkpoint_works_where_it_is_unpickled(name):
    path = HERE / "checkpoints" / name
    with (path / "pytorch_model.bin" if path.is_dir() else path).open("rb") as file:
        torch.load(file, weights_only=False)
    assert canary()


# Images.

TEXT_BOMB = HERE / "images" / "text_bomb.png"  # whose picture any viewer shows
IMAGES = sorted({*(HERE / "images").iterdir()} - {TEXT_BOMB})


@pytest.mark.parametrize("path", IMAGES, ids=lambda path: path.name)
def test_an_image_is_refused_in_one_line(path, monkeypatch):
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_, **__: Path("canary").touch())
    with pytest.raises(UnreadableImageError) as caught:
        read_image(path)
    assert str(path) in one_line(caught.value)
    assert not canary()


def test_a_text_that_is_a_bomb_is_never_unpacked():
    tracemalloc.start()
    try:
        assert read_image(TEXT_BOMB).size == (8, 1)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 10_000_000  # of 50


def test_images_are_left_out_with_on_error_skip():
    assert set(unreadable(IMAGES)) == set(IMAGES)


def test_what_is_in_images_works_where_pillow_is_left_alone(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    monkeypatch.setattr(PngImagePlugin, "MAX_TEXT_CHUNK", 2**30)
    found = {
        path.name: Image.open(path)
        for path in (*IMAGES, TEXT_BOMB)
        if path.suffix in (".png", ".gif") and path.name != "drawing.png"
    }
    assert found["script.png"].format == "EPS"
    assert found["bomb.png"].size == (14_000, 14_000)
    assert found["bomb.gif"].size == (65_535, 65_535)
    found["text_bomb.png"].load()
    assert len(found["text_bomb.png"].text["comment"]) == 50_000_000
    for image in found.values():
        image.close()


# Tables of images.


def table(name, folder, **changes):
    for sub in ("", "a", "b"):
        (folder / sub).mkdir(exist_ok=True)
        for index in range(1, 13):
            Image.new("RGB", (8, 8)).save(folder / sub / f"{index}.png")
    (folder / name).write_bytes((HERE / "manifests" / name).read_bytes())
    fractions = {"val_fraction": 0.25, "test_fraction": 0.25, "split_seed": 0, "fraction": None}
    others = {"fold": None, "folds": 5, "per_class": None, "root": None, "on_error": "fail"}
    columns = dict.fromkeys(("split_column", "group_column"))
    columns |= {"path_column": "path", "label_column": "label", "follow_links": False}
    return manifest(0, path=str(folder / name), **(fractions | others | columns | changes))


@pytest.mark.parametrize("name", ["climbs.csv", "absolute.csv"])
@pytest.mark.parametrize("on_error", ["fail", "skip"])
def test_a_path_out_of_the_folder_is_refused_in_one_line(name, on_error, tmp_path):
    with pytest.raises(RegraftError, match="row 2: .*leads out of") as caught:
        table(name, tmp_path, on_error=on_error)
    one_line(caught.value)


def test_names_are_text_in_every_table(tmp_path):
    source = table("names.csv", tmp_path)
    assert any("\x1b" in name for name in source.classes)
    images = Images(
        source,
        InputConfig((8, 8), (0.5,) * 3, (0.2,) * 3, "bilinear", 1.0),
        batch_size=4,
        workers=0,
    )
    labels = images.labels("test")
    said = torch.eye(3)[labels], labels
    write_predictions(tmp_path, "run", images, {"test": said}, Calibration(1.0))
    with (tmp_path / NAME).open(newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert not any(
        cell.startswith(("=", "+", "-", "@")) or not cell.isprintable() for cell in cells
    )
    assert read_test(tmp_path / NAME)[2] == list(source.classes)
