from contextlib import suppress
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra._internal.utils import create_config_search_path
from hydra.types import RunMode
from omegaconf import OmegaConf

from regraft import hydra_internals
from regraft.errors import RegraftError
from regraft.hydra_loader import Loader, refuse, refuse_what_grows, refuse_word
from regraft.paths import conf_folder


def said(text):
    with pytest.raises(RegraftError) as caught:
        refuse(OmegaConf.to_container(OmegaConf.create(text)), "team.yaml")
    return str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "hydra: {sweeper: {params: {seed: '0,1', optimizer.lr: '1e-3,1e-4', +data.fold: 3}}}",
        "hydra: {sweeper: {n_trials: 20, direction: maximize, sampler: {seed: 1}}}",
        "hydra: {launcher: {n_jobs: 2, partition: gpu, timeout_min: 60, mem_gb: 16}}",
        "callbacks: {checkpoint: {dirpath: '${output_dir}/weights', filename: 'best-{epoch}'}}",
        "callbacks: {export_trunk: {path: '${output_dir}/trunk 2.safetensors'}}",
        "data: {path: /team/birds.csv, root: /team, root_dir: /team}",
        "callbacks: {checkpoint: {dirpath: null}}",
        "tags: []",
    ],
)
def test_what_a_team_may_set(text):
    refuse(OmegaConf.to_container(OmegaConf.create(text)), "team.yaml")


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("hydra: {output_subdir: ../x}", "hydra.output_subdir"),
        ("hydra: {launcher: {partition: '${mine}'}}", "hydra.launcher.partition"),
        ("hydra: {launcher: {setup: []}}", "hydra.launcher.setup"),
        ("hydra: {sweeper: {sampler: {_target_: x}}}", "hydra.sweeper.sampler._target_"),
        ("hydra: {sweeper: {params: {hydra/launcher: joblib}}}", "hydra/launcher"),
        ("hydra: {sweeper: {params: {x@hydra.callbacks: y}}}", "x@hydra.callbacks"),
        ("hydra: {sweeper: {params: {callbacks.x.dirpath: /a}}}", "callbacks.x.dirpath"),
        ("hydra: {sweeper: {params: {++callbacks.x: '{path: /a}'}}}", "callbacks.x"),
        ("callbacks: {x: {dirpath: '${output_dir}/../x'}}", "callbacks.x.dirpath"),
        ("callbacks: {x: {dirpath: '${output_dir}${mine}'}}", "callbacks.x.dirpath"),
        ("callbacks: {x: {dirpath: s3://bucket/x}}", "callbacks.x.dirpath"),
        ("callbacks: {x: {filename: ../best}}", "callbacks.x.filename"),
        ("callbacks: {x: {dirpath: [/a]}}", "callbacks.x.dirpath"),
        ("mine: {dirpath: /a}", "mine.dirpath"),
    ],
)
def test_what_a_team_may_not_set_is_named(text, key):
    assert said(text).startswith("team.yaml: ")
    assert key in said(text)


def test_aliases_may_repeat_a_little_and_never_themselves():
    refuse_what_grows("a: &a {lr: 1}\nb: {<<: *a, c: [*a, *a]}", "team.yaml")
    with pytest.raises(RegraftError, match="team.yaml: more than 10,000 values"):
        refuse_what_grows("a: &a [*a]", "team.yaml")


@pytest.mark.parametrize("word", ["hydra.run.dir=elsewhere", "callbacks.checkpoint.dirpath=/a"])
def test_what_the_user_types_is_no_file(word, monkeypatch):
    monkeypatch.setattr(hydra_internals.app, "ConfigLoaderImpl", Loader)
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        compose("config", [word, "+hydra.job.env_set.A=b"])


def test_a_package_of_a_foreign_primary_config_is_not_imported(tmp_path, monkeypatch):
    (tmp_path / "canary_package").mkdir()
    (tmp_path / "canary_package" / "__init__.py").write_text(
        "import pathlib; pathlib.Path('canary').touch()"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    primary = Path(__file__).parents[1] / "support" / "hostile" / "primary" / "config.yaml"
    (tmp_path / "config.yaml").write_bytes(primary.read_bytes())

    def composed(loader):
        path = create_config_search_path(str(conf_folder()))
        path.prepend("team", f"file://{tmp_path}", "main")
        loader(path).load_configuration("config", [], RunMode.RUN)

    with pytest.raises(RegraftError, match="config.yaml:3: hydra.searchpath.0: only the"):
        composed(Loader)
    assert not (tmp_path / "canary").exists()
    with suppress(Exception):
        composed(Loader.__base__)
    assert (tmp_path / "canary").exists()


@pytest.mark.parametrize(
    "word",
    [
        *("seed=3", "+callbacks.x.y=1", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"),
        *("hydra.sweeper.max_batch_size=2", "hydra.searchpath=[file:///team]", "~tags"),
    ],
)
def test_words_that_only_say_what_is_trained_are_taken_out_of_a_folder(word):
    refuse_word(word)


@pytest.mark.parametrize(
    "word",
    [
        *("--config-path=/evil", "-m", "+hydra.callbacks.x._target_=logging.FileHandler"),
        "+hydra.callbacks.x={_target_:logging.FileHandler,filename:pwned}",
        *("hydra.job.env_set.LD_PRELOAD=x.so", "hydra.job_logging.root.level=x", "+hydra={a:1}"),
    ],
)
def test_words_that_make_hydra_do_something_are_not(word):
    with pytest.raises(RegraftError, match="not taken out of a folder's records; go on by typing"):
        refuse_word(word)


def test_a_file_is_read_once_until_it_changes_and_no_config_is_anothers(tmp_path, monkeypatch):
    (tmp_path / "head").mkdir()
    (tmp_path / "config.yaml").write_text("defaults: [_self_, head: mlp]\n")
    option = tmp_path / "head" / "mlp.yaml"
    option.write_text("hidden: [64]\n")
    monkeypatch.setattr(hydra_internals.app, "ConfigLoaderImpl", Loader)
    read, load = [], OmegaConf.load
    monkeypatch.setattr(OmegaConf, "load", lambda file: read.append(file.name) or load(file))

    def composed(*words):
        with initialize_config_dir(str(tmp_path), version_base="1.3"):
            return OmegaConf.to_container(compose("config", [*words]))

    assert composed("head.hidden=[8]", "+head.bias=true") == {"head": {"hidden": [8], "bias": True}}
    assert composed() == {"head": {"hidden": [64]}}
    assert read.count(str(option)) == 1
    option.write_text("hidden: [32]\n")
    assert composed() == {"head": {"hidden": [32]}}
