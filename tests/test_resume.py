"""A job that was stopped and goes on ends where one ends that was never stopped, to the bit."""

import json
import shutil
import signal
import time
import warnings

import pytest
import torch
from alike import alike
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from jobs import composed, run_job
from omegaconf import OmegaConf, flag_override

from regraft.classifier import Classifier
from regraft.earlier import goes_on, refuse_another
from regraft.errors import RegraftError
from regraft.interrupt import bell
from regraft.lock import held

SMALL = ["data.per_class=6", "loader.batch_size=16", "trainer.max_epochs=4", "logger=none"]
WAYS = {
    "features": ["data.per_class=12"],
    "augmented": ["strategy=finetune", "augment=light", "balance=sampler", "data.per_class=3"],
    "mixed": ["strategy=scratch", "augment=mixup", "data.per_class=3"],
    "views": ["augment=light", "features.views=3", "data.per_class=12"],
    "gradual": ["strategy=gradual", "data.per_class=3"],
    "lp_ft": ["strategy=lp_ft", "data.per_class=3"],
    "average": ["strategy=finetune", "callbacks=ema", "data.per_class=3"],
    "average of a head": ["callbacks=ema"],
    "early": ["callbacks=early_stopping", "callbacks.early_stopping.patience=1", "seed=1"],
    "partial": ["strategy=partial", "data.per_class=3"],
    "accumulated": ["trainer.accumulate_grad_batches=2", "data.per_class=12", "optimizer=sgd"],
}
EPOCH = {"data.per_class=3": 2, "data.per_class=12": 8}  # batches


class Killed(BaseException):
    """As good as a SIGKILL: nobody catches it."""


def result(folder):
    return json.loads((folder / "result.json").read_text())


def at(monkeypatch, step, happens, where="training_step"):
    """Something happens in the run's n-th batch, once."""
    before, count = getattr(Classifier, where), iter(range(10**6))

    def counted(*args):
        if next(count) == step:
            happens()
        return before(*args)

    monkeypatch.setattr(Classifier, where, counted)


def kill():
    raise Killed


def ctrl_c():
    signal.raise_signal(signal.SIGINT)


def go_on(folder, *words):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return run_job(folder, *words, "resume=auto")


def same(one, other):
    """Nothing that was learned, measured or written of the training differs."""
    results = [result(folder) for folder in (one, other)]
    for key in ("status", "metrics", "best_epoch", "checkpoint", "forecast", "plan"):
        assert results[0][key] == results[1][key], key
    for name in ("metrics.csv", "predictions.csv"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name
    for name in ("best.ckpt", "last.ckpt"):
        a, b = (torch.load(f / "checkpoints" / name, weights_only=True) for f in (one, other))
        for part in ("state_dict", "current_model_state", "optimizer_states"):
            assert alike(a.get(part), b.get(part)), (name, part)
        for part in ("start", "streams"):
            assert alike(a.get("resume", {}).get(part), b.get("resume", {}).get(part)), part


def stopped(folder, monkeypatch, *words, step=5, happens=kill, where="training_step"):
    """A run's folder after that has happened in it."""
    with monkeypatch.context() as patch, pytest.raises((Killed, KeyboardInterrupt)):
        at(patch, step, happens, where)
        run_job(folder, *words)
    return folder


@pytest.fixture(autouse=True)
def untaken_signals():
    """As in a new process: whoever ran before in this one may have taken them."""
    free = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in free.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    run_job(folder, *SMALL)
    return folder


def test_killed_while_it_is_judged(whole, tmp_path, monkeypatch):
    stopped(tmp_path, monkeypatch, *SMALL, step=0, where="predict_step")
    go_on(tmp_path, *SMALL)
    same(whole, tmp_path)
    assert result(tmp_path)["resumed"] == 1


def test_an_early_stop_is_not_forgotten(tmp_path, monkeypatch):
    words = [*SMALL, *WAYS["early"], "trainer.max_epochs=40"]
    run_job(tmp_path / "whole", *words)
    stopped(tmp_path / "other", monkeypatch, *words, step=0, where="predict_step")
    go_on(tmp_path / "other", *words)
    same(tmp_path / "whole", tmp_path / "other")
    assert len((tmp_path / "whole/metrics.csv").read_text().split()) < 40


def test_killed_while_features_are_computed(whole, tmp_path, monkeypatch):
    monkeypatch.setenv("REGRAFT_CACHE", str(tmp_path / "cache"))
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr("regraft.store.Writer.append", lambda *_: kill())
        run_job(tmp_path / "run", *SMALL)
    go_on(tmp_path / "run", *SMALL)
    same(whole, tmp_path / "run")


def test_a_folder_that_was_moved_meanwhile(whole, tmp_path, monkeypatch):
    stopped(tmp_path / "before", monkeypatch, *SMALL, step=9).rename(tmp_path / "after")
    go_on(tmp_path / "after", *SMALL)
    same(whole, tmp_path / "after")


def test_a_checkpoint_that_was_cut_short_costs_time_only(whole, tmp_path, monkeypatch, caplog):
    last = stopped(tmp_path, monkeypatch, *SMALL, step=9) / "checkpoints/last.ckpt"
    last.write_bytes(last.read_bytes()[:1000])
    run_job(tmp_path, *SMALL, "resume=auto")
    assert "last.ckpt cannot be read: the training starts from the beginning" in caplog.text
    same(whole, tmp_path)


def test_a_finished_run_is_left_alone(whole, capsys):
    files = [path for path in sorted(whole.rglob("*")) if path.is_file()]
    before = [(path.read_bytes(), path.stat().st_mtime_ns) for path in files]
    assert run_job(whole, *SMALL, "resume=auto") == result(whole)["metrics"]["val/acc"]
    assert "has finished: nothing to do" in capsys.readouterr().out
    assert [(path.read_bytes(), path.stat().st_mtime_ns) for path in files] == before


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("optimizer.lr=0.5", "this run has optimizer.lr=0.003, and now it is 0.5"),
        ("trainer.max_epochs=9", "this run has trainer.max_epochs=4, and now it is 9"),
        ("head=linear", "this run has head._target_=regraft.head.mlp"),
    ],
)
def test_other_words_are_another_run(word, said, whole, tmp_path):
    folder = shutil.copytree(whole, tmp_path / "run")
    for status in ("finished", "interrupted"):
        kept = json.dumps(result(folder) | {"status": status})
        (folder / "result.json").write_text(kept)
        with pytest.raises(RegraftError) as caught:
            run_job(folder, *SMALL, word, "resume=auto")
        assert said in str(caught.value)
        assert (folder / "result.json").read_text() == kept


def test_what_changes_no_number_may_be_another(whole, tmp_path, monkeypatch):
    stopped(tmp_path, monkeypatch, *SMALL)
    run_job(tmp_path, *SMALL, "resume=auto", "tags=[mine]", "loader.workers=1")
    same(whole, tmp_path)


def test_a_run_is_one_process_at_a_time(tmp_path):
    with held(tmp_path), pytest.raises(RegraftError, match="is running: another process"):
        run_job(tmp_path, *SMALL)
    assert not (tmp_path / "result.json").exists()


def test_without_being_asked_nothing_goes_on(tmp_path, monkeypatch):
    stopped(tmp_path, monkeypatch, *SMALL)
    with pytest.raises(RegraftError, match="go on with it: regraft resume "):
        run_job(tmp_path, *SMALL)
    (tmp_path / "result.json").unlink()  # there are checkpoints still
    with pytest.raises(RegraftError, match="go on with it: regraft resume "):
        run_job(tmp_path, *SMALL)


def test_the_first_ctrl_c_waits_for_the_step_and_says_how_to_go_on(tmp_path, monkeypatch, capfd):
    stopped(tmp_path, monkeypatch, *SMALL, step=5, happens=ctrl_c)
    assert result(tmp_path)["status"] == "interrupted"
    assert result(tmp_path)["error"] == (
        f"interrupted at step 6; go on with: regraft resume {tmp_path}"
    )
    assert "stopping after this step" in capfd.readouterr().err
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


class Submitit:
    """As much of its handler of signals as there is to see."""

    def __init__(self, folder):
        self.folder, self.kept = folder, None

    def checkpoint_and_try_requeue(self, number, frame):
        last = self.folder / "checkpoints/last.ckpt"
        self.kept = torch.load(last, weights_only=True)["resume"]["start"] if last.exists() else ()
        raise SystemExit(-1)


@pytest.fixture
def submitit(tmp_path):
    own = Submitit(tmp_path)
    before = signal.signal(signal.SIGUSR2, own.checkpoint_and_try_requeue)
    yield own
    assert signal.getsignal(signal.SIGUSR2) == own.checkpoint_and_try_requeue
    assert signal.alarm(0) == 0
    signal.signal(signal.SIGUSR2, before)


def usr2():
    signal.raise_signal(signal.SIGUSR2)


def test_a_job_that_is_queued_again_has_kept_its_step(whole, tmp_path, monkeypatch, submitit):
    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        at(patch, 5, usr2)
        run_job(tmp_path, *SMALL)
    assert submitit.kept == (1, 2)
    assert result(tmp_path)["status"] == "running"
    go_on(tmp_path, *SMALL)
    same(whole, tmp_path)


def test_a_job_is_queued_again_at_once_where_there_is_no_step(tmp_path, monkeypatch, submitit):
    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr("regraft.experiment.make_trainer", lambda *_: usr2())
        run_job(tmp_path, *SMALL)
    assert submitit.kept == ()


def test_a_job_is_queued_again_in_time_where_a_step_takes_long(tmp_path, monkeypatch, submitit):
    def long_step():
        usr2()
        time.sleep(20)

    monkeypatch.setattr("regraft.interrupt.QUEUE_S", 1)
    began = time.monotonic()
    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        at(patch, 5, long_step)
        run_job(tmp_path, *SMALL)
    assert submitit.kept == (1, 0)
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("happens", [kill, ctrl_c])
def test_the_cost_is_that_of_all_processes(happens, tmp_path, monkeypatch):
    words = [*SMALL, "strategy=finetune", "data.per_class=3"]
    run_job(tmp_path / "whole", *words)
    folder = stopped(tmp_path / "run", monkeypatch, *words, step=2, happens=happens)
    found, path = result(folder), folder / "checkpoints/last.ckpt"
    last = torch.load(path, weights_only=True)
    if happens is kill:  # its result says nothing of this
        found["cost"] = {}
        last["resume"]["spent"]["wall_s"] += 1000
        torch.save(last, path)
    else:
        found["cost"]["wall_s"] += 1000
    (folder / "result.json").write_text(json.dumps(found))
    with monkeypatch.context() as patch, pytest.raises(Killed):
        at(patch, 0, kill)
        patch.setattr("regraft.tracking._write_last", lambda record: None)
        run_job(folder, *words, "resume=auto")  # and is killed before it has kept anything
    run_job(folder, *words, "resume=auto")
    costs = [result(f)["cost"] for f in (tmp_path / "whole", folder)]
    assert 1000 < costs[1]["wall_s"] < 1100
    assert costs[1]["images_forwarded"] == costs[0]["images_forwarded"]


def test_the_second_ctrl_c_does_not_wait(tmp_path, monkeypatch):
    def twice():
        ctrl_c()
        bell.when -= 1
        ctrl_c()

    stopped(tmp_path, monkeypatch, *SMALL, step=5, happens=twice)
    start = torch.load(tmp_path / "checkpoints/last.ckpt", weights_only=True)["resume"]["start"]
    assert start == (1, 0)
    assert result(tmp_path)["error"].startswith("interrupted; go on with: ")


def test_a_run_of_weights_and_biases_is_not_forked(tmp_path, monkeypatch):
    words = [*SMALL[:-1], "logger=wandb"]
    stopped(tmp_path, monkeypatch, *words)
    before = result(tmp_path)["wandb"]["id"]
    time.sleep(1)  # W&B names its folders by the second
    run_job(tmp_path, *words, "resume=auto")
    ids = {path.name.rpartition("-")[2] for path in tmp_path.glob("wandb/offline-run-*")}
    assert ids == {before} == {result(tmp_path)["wandb"]["id"]}


def test_jobs_that_a_cluster_queues_again_go_on_without_a_word(tmp_path):
    composed(tmp_path, sweep=True)
    assert not goes_on(OmegaConf.create({"resume": None}))
    hydra = HydraConfig.get()
    launcher = hydra.launcher
    with flag_override(launcher, ["readonly", "struct"], False):
        launcher._target_ = "hydra_plugins.hydra_submitit_launcher.submitit_launcher.SlurmLauncher"
    assert goes_on(OmegaConf.create({"resume": None}))
    with flag_override(hydra, ["readonly", "struct"], False):
        hydra.mode = RunMode.RUN  # which no launcher starts
    assert not goes_on(OmegaConf.create({"resume": None}))


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_to_the_bit(way, tmp_path, monkeypatch):
    words = [*SMALL, *WAYS[way]]
    run_job(tmp_path / "whole", *words)
    epoch = next((EPOCH[word] for word in words[1:] if word in EPOCH), 4)
    for name, step, happens in (("boundary", 2 * epoch, kill), ("within", epoch, ctrl_c)):
        folder = stopped(tmp_path / name, monkeypatch, *words, step=step, happens=happens)
        start = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["resume"]["start"]
        assert (start[1] > 0) == (name == "within")
        go_on(folder, *words)
        same(tmp_path / "whole", folder)


def test_another_of_several_devices_is_no_other_run(tmp_path):
    (tmp_path / "config.yaml").write_text("trainer: {devices: [1]}\noutput_dir: x\n")
    refuse_another(tmp_path, {"trainer": {"devices": [0]}, "output_dir": "x"})
    refuse_another(tmp_path, {"trainer": {"devices": 1}, "output_dir": "x"})
    with pytest.raises(RegraftError, match="devices"):
        refuse_another(tmp_path, {"trainer": {"devices": 2}, "output_dir": "x"})


def test_a_new_folder_holds_nothing_to_go_on_with(tmp_path, caplog):
    run_job(tmp_path, *SMALL[:-1], "trainer.max_epochs=1", "logger=none", "resume=auto")
    assert "resume=auto finds nothing in a new folder: give hydra.run.dir=<folder>" in caplog.text
