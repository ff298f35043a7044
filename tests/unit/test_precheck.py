"""Words that are wrong are refused before anything is written, wherever they stand in a sweep."""

import json
from functools import cache

import pytest
from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from jobs import run_job
from omegaconf import OmegaConf

from regraft import launch, precheck, sweep
from regraft.errors import RegraftError

LR = "optimizer.lr=abc: must be a number or auto (on the command line)"
DROPOUT = "must be less than 1 (on the command line)"
JOB = {
    "optimizer.lr=abc": LR,
    "+loader.depth=3": "loader.depth: regraft.data.images.Images has no such option",
    "+nobody=3": "nobody: no such key, nothing reads it (on the command line)",
    "sweep=quadrants": "sweep=quadrants is a sweep: add -m to the command",
    "quadrant=small_similar data=digits": "quadrant=small_similar brings its own data",
    "output_dir=/x": "output_dir=/x: set hydra.run.dir instead",
    "data=image_folder": "data.root is not set",
    "hydra.run.dir=mine optimizer.lr=abc": LR,
    "optimizer.lr=inf": "optimizer.lr=inf: must be a finite number or auto",
    "optimizer.weight_decay=inf": "optimizer.weight_decay=inf: must be a finite number",
    "+trainer.min_epochs=9 trainer.max_epochs=3": "trainer.min_epochs=9: more than trainer.max_epo",
    "+trainer.min_steps=9 +trainer.max_steps=3": "trainer.min_steps=9: more than trainer.max_steps",
    "optimizer=SGD": "optimizer=SGD: no such option; did you mean 'sgd'?",
    "data=image_folder data.root=nowhere": "data.root=nowhere: there is no folder 'nowhere'",
    "data=manifest data.path=no.csv": "data.path=no.csv: there is no such file",
    "backbone=timm backbone.name=resnet81": "backbone.name=resnet81: timm has no such model",
    "head._target_=os.system": "head._target_=os.system: not from a trusted module",
}
SWEEP = {
    "optimizer.lr=0.1,abc": LR,
    "optimizer.lr=choice(0.1,0.2,abc)": LR,
    "optimizer.lr=shuffle(0.1,abc)": LR,
    "head.dropout=range(0,3)": f"head.dropout=1: {DROPOUT}",
    "seed=range(0,3) head.dropout=2": f"head.dropout=2: {DROPOUT}",
    "seed=[0,1]": "seed=[0, 1]: must be an integer (on the command line)",
    "seed=0,1 optimizer=adamw,sgd head.dropout=0.1,2": f"head.dropout=2: {DROPOUT}",
    "backbone=timm backbone.name=test_vit,test_vet": "backbone.name=test_vet: timm has no such",
    "data=image_folder data.root=.,nowhere": "data.root=nowhere: there is no folder 'nowhere'",
    "strategy=finetune,scrach": "strategy=scrach: no such option; did you mean 'scratch'?",
    "strategy=glob(f*) head.dropout=2": f"head.dropout=2: {DROPOUT}",
    "head=linear,mlp head.hidden=8": "head.hidden: no such key in what is chosen",
    "sweep=quadrants seed=0,1,x": "seed=x: must be an integer",
    "optimizer.lr=interval(0.1,2)": "values are searched for in an interval by hydra",
    "sweep=backbones optimizer.lr=abc": LR,
    "sweep=backbones backbone=resnet18,resnt50": "backbone=resnt50: no such option",
    "sweep=backbones head=mlp,linear": "head: a ranking of backbones takes several values of",
    "hydra/sweeper=optuna optimizer.lr=choice(0.1,abc)": LR,
    "hydra/sweeper=optuna strategy=choice(finetune,scrach)": "strategy=scrach: no such option",
    "hydra/sweeper=optuna head.dropout=interval(0,2)": f"head.dropout=1.998: {DROPOUT}",
    "hydra/sweeper=optuna seed=range(0,3) optimizer.lr=abc": LR,
    "strategy=glob(zz*)": "strategy=glob(zz*): no option has such a name, so the sweep has no job",
    "seed=range(3,0)": "seed=range(3,0): there is no value in it, so the sweep has no job",
    "seed=0,1 hydra.sweep.subdir=x": "hydra.sweep.subdir=x: the folder of job 1 would be that",
    "seed=1,0 hydra.sweep.subdir=${seed}": "hydra.sweep.subdir=1: the folder of job 0 would be",
    "seed=0,1 hydra.sweep.subdir=.": "hydra.sweep.subdir=.: the folder of a job lies in that of",
    "seed=0,1 hydra.sweep.subdir=": "hydra.sweep.subdir=: the folder of a job lies in that of",
    "seed=0,1 quadrant=small_similar data=digits": "quadrant=small_similar brings its own data",
}


@pytest.fixture
def refused(tmp_path, train):
    """The one line that words end in; nothing may be written by then."""

    def one_line(*words):
        done = train(*words)
        assert done.returncode == 1
        [line] = done.stderr.splitlines()
        assert done.stdout == ""
        assert [*tmp_path.iterdir()] == []
        return line.removeprefix("error: ")

    return one_line


@pytest.mark.parametrize("words", JOB)
def test_a_wrong_word_leaves_nothing_behind(words, refused):
    assert refused(*words.split()).startswith(JOB[words])


@pytest.mark.parametrize("words", SWEEP)
def test_a_sweep_with_a_wrong_value_does_not_begin(words, refused):
    assert refused("-m", *words.split()).startswith(SWEEP[words])


@pytest.mark.parametrize("launcher", ["joblib", "local", "slurm"])
def test_no_launcher_is_given_a_wrong_job(launcher, refused):
    assert refused("-m", "optimizer.lr=0.1,abc", f"hydra/launcher={launcher}") == LR


def test_a_search_ends_before_its_intervals_do(tmp_path, train, monkeypatch):
    """An interval is without its end: [0, 1) is what a dropout may be."""
    ran = []
    monkeypatch.setattr(launch, "_experiment", cache(lambda: lambda cfg: ran.append(1) or 0.5))
    words = "head.dropout=interval(0,1)", "hydra.sweeper.n_trials=2", "hydra/sweeper=optuna"
    train("-m", *words)
    assert len(ran) == 2


def test_all_of_few_jobs_are_checked_and_of_many_each_value(monkeypatch):
    overrides = OverridesParser.create().parse_overrides(["seed=1,2,3", "optimizer.lr=1,2"])
    monkeypatch.setattr(sweep, "_overrides", lambda config: overrides)
    few, many = [["seed=1"]] * sweep.MOST_CHECKED, [["seed=1"]] * (sweep.MOST_CHECKED + 1)
    assert sweep.to_check({}, {"overrides": few}) == few
    assert sweep.to_check({}, {"overrides": [["a"]], "then": [[["b"]]]}) == [["a"], ["b"]]
    once = [[f"seed={s}", f"optimizer.lr={r}"] for s, r in ("11", "22", "31")]
    assert [*sweep.to_check({}, {"overrides": many})] == once
    assert [*sweep.to_check({}, {"overrides": None})] == once  # of a search


def test_what_is_checked_is_left_as_it_was(tmp_path):
    """Nothing of the check is seen by the job: Hydra's record of it, for one."""
    whole = OmegaConf.create({"hydra": OmegaConf.structured(HydraConf), "seed": 1})
    before = HydraConfig.instance().cfg
    with precheck.as_job(whole, "run") as task:
        assert task == {"seed": 1}
        assert HydraConfig.get().runtime.output_dir.endswith("/run")
    assert HydraConfig.instance().cfg is before
    assert OmegaConf.is_missing(whole.hydra.job, "num")


def test_a_job_that_is_started_otherwise_checks_for_itself(tmp_path):
    with pytest.raises(RegraftError, match="brings its own data"):
        run_job(tmp_path / "job", "quadrant=small_similar", "data=digits")
    assert json.loads((tmp_path / "job" / "result.json").read_text())["status"] == "failed"
