"""A job that was stopped and goes on ends where one ends that was never stopped, to the bit."""

import json
import signal

import pytest
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from jobs import composed
from omegaconf import OmegaConf, flag_override
from runs import TINY
from stops import (
    SMALL,
    WAYS,
    Killed,
    at,
    ctrl_c,
    go_on,
    kill,
    result,
    run_job,
    same,
    start_of,
    stopped,
)

from regraft.earlier import goes_on, refuse_another
from regraft.errors import RegraftError
from regraft.interrupt import QUEUE_S, bell
from regraft.lock import held
from regraft.pretrain.method import Method

pytestmark = pytest.mark.usefixtures("untaken_signals")


@pytest.fixture
def whole(finished_run):
    """The folder of the same job that nobody has stopped."""
    return finished_run(*SMALL).folder


def test_killed_while_it_is_judged(whole, tmp_path, monkeypatch):
    stopped(tmp_path, monkeypatch, *SMALL, step=0, where="predict_step")
    go_on(tmp_path, *SMALL)
    same(whole, tmp_path)
    assert result(tmp_path)["resumed"] == 1


def test_an_early_stop_is_not_forgotten(finished_run, tmp_path, monkeypatch):
    words = [*SMALL, *WAYS["early"]]
    whole = finished_run(*words).folder
    stopped(tmp_path, monkeypatch, *words, step=0, where="predict_step")
    go_on(tmp_path, *words)
    same(whole, tmp_path)
    assert len((whole / "metrics.csv").read_text().split()) < 1 + 6


@pytest.mark.parametrize("where", ["training_step", "predict_step"])
@pytest.mark.parametrize(
    "words", [("trainer.limit_val_batches=0", "callbacks=ema"), ("+trainer.max_steps=5",)]
)
def test_a_run_of_which_the_last_weights_are_the_best(
    finished_run, tmp_path, monkeypatch, words, where
):
    words = [*SMALL, "strategy=finetune", *words]
    whole = finished_run(*words).folder
    stopped(tmp_path, monkeypatch, *words, step=4 if where == "training_step" else 0, where=where)
    go_on(tmp_path, *words)
    same(whole, tmp_path)


def test_killed_while_features_are_computed(whole, tmp_path, monkeypatch):
    monkeypatch.setenv("REGRAFT_CACHE", str(tmp_path / "cache"))
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr("regraft.store.Writer.append", lambda *_: kill())
        run_job(tmp_path / "run", *SMALL)
    go_on(tmp_path / "run", *SMALL)
    same(whole, tmp_path / "run")


def test_a_folder_that_was_moved_meanwhile(whole, tmp_path, monkeypatch):
    stopped(tmp_path / "before", monkeypatch, *SMALL, step=7).rename(tmp_path / "after")
    go_on(tmp_path / "after", *SMALL)
    same(whole, tmp_path / "after")


def test_a_checkpoint_that_was_cut_short_costs_time_only(whole, tmp_path, monkeypatch, caplog):
    last = stopped(tmp_path, monkeypatch, *SMALL, step=7) / "checkpoints/last.ckpt"
    last.write_bytes(last.read_bytes()[:1000])
    run_job(tmp_path, *SMALL, "resume=auto")
    assert "last.ckpt cannot be read: the training starts from the beginning" in caplog.text
    same(whole, tmp_path)


def test_a_finished_run_is_left_alone(finished_run, tmp_path, capsys):
    run = finished_run(*SMALL)
    folder = run.copy(tmp_path / "run")
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    before = [(path.read_bytes(), path.stat().st_mtime_ns) for path in files]
    words = run.result["overrides"]
    assert run_job(folder, *words, "resume=auto") == run.result["metrics"]["val/acc"]
    assert "has finished: nothing to do" in capsys.readouterr().out
    assert [(path.read_bytes(), path.stat().st_mtime_ns) for path in files] == before


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("optimizer.lr=0.5", "this run has optimizer.lr=0.003, and now it is 0.5"),
        ("trainer.max_epochs=9", "this run has trainer.max_epochs=3, and now it is 9"),
        ("head=linear", "this run has head._target_=regraft.head.mlp"),
    ],
)
def test_other_words_are_another_run(word, said, finished_run, tmp_path):
    run = finished_run(*SMALL)
    folder, words = run.copy(tmp_path / "run"), run.result["overrides"]
    for status in ("finished", "interrupted"):
        kept = json.dumps(result(folder) | {"status": status})
        (folder / "result.json").write_text(kept)
        with pytest.raises(RegraftError) as caught:
            run_job(folder, *words, word, "resume=auto")
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
    stopped(tmp_path, monkeypatch, *SMALL, step=4, happens=ctrl_c)
    assert result(tmp_path)["status"] == "interrupted"
    assert result(tmp_path)["error"] == (
        f"interrupted at step 5; go on with: regraft resume {tmp_path}"
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
        at(patch, 4, usr2)
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
    set_to = []

    def long_step():
        usr2()
        set_to.append(signal.getitimer(signal.ITIMER_REAL)[0])
        signal.raise_signal(signal.SIGALRM)  # the time is over, and the step is not

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        at(patch, 4, long_step)
        run_job(tmp_path, *SMALL)
    assert submitit.kept == (1, 0)
    assert 0 < set_to[0] <= QUEUE_S


@pytest.mark.parametrize("happens", [kill, ctrl_c])
def test_the_cost_is_that_of_all_processes(happens, finished_run, tmp_path, monkeypatch):
    words = [*SMALL, "strategy=finetune"]
    whole = finished_run(*words)
    folder = stopped(tmp_path / "run", monkeypatch, *words, step=3, happens=happens)
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
    cost = result(folder)["cost"]
    assert 1000 < cost["wall_s"] < 2000  # it was added once
    assert cost["images_forwarded"] == whole.result["cost"]["images_forwarded"]


def test_the_second_ctrl_c_does_not_wait(tmp_path, monkeypatch):
    def twice():
        ctrl_c()
        bell.when -= 1
        ctrl_c()

    stopped(tmp_path, monkeypatch, *SMALL, step=4, happens=twice)
    assert start_of(tmp_path) == (1, 0)
    assert result(tmp_path)["error"].startswith("interrupted; go on with: ")


def test_a_run_of_weights_and_biases_is_not_forked(tmp_path, monkeypatch):
    words = [*SMALL, "logger=wandb"]
    stopped(tmp_path, monkeypatch, *words)
    before = result(tmp_path)["wandb"]["id"]
    [first] = tmp_path.glob("wandb/offline-run-*")
    # W&B names its folders by the second, and this one could be of the same second as the next.
    first.rename(first.with_name(f"offline-run-20261121_120000-{before}"))
    run_job(tmp_path, *words, "resume=auto")
    ids = [path.name.rpartition("-")[2] for path in tmp_path.glob("wandb/offline-run-*")]
    assert ids == [before] * 2
    assert result(tmp_path)["wandb"]["id"] == before


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


@pytest.mark.parametrize("way", WAYS)
def test_to_the_bit(way, finished_run, tmp_path, monkeypatch):
    """Asked to stop within the second epoch, gone on with, and killed when two have ended."""
    words = [*SMALL, *WAYS[way]]
    stopped(tmp_path, monkeypatch, *words, step=4, happens=ctrl_c)
    assert start_of(tmp_path) == (1, 2)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        at(patch, 1, kill)
        go_on(tmp_path, *words)
    assert start_of(tmp_path) == (2, 0)
    go_on(tmp_path, *words)
    same(finished_run(*words).folder, tmp_path)
    assert result(tmp_path)["resumed"] == 2


@pytest.mark.parametrize("way", ["lp_ft", "gradual"])
def test_to_the_bit_from_where_the_head_learns_alone(way, finished_run, tmp_path, monkeypatch):
    words = [*SMALL, *WAYS[way]]
    stopped(tmp_path, monkeypatch, *words, step=1, happens=ctrl_c)
    assert start_of(tmp_path) == (0, 2)
    go_on(tmp_path, *words)
    same(finished_run(*words).folder, tmp_path)


@pytest.mark.parametrize("where", ["while it pretrains", "in the training that follows"])
def test_to_the_bit_where_weights_are_learned_before(where, finished_run, tmp_path, monkeypatch):
    words = [*TINY, "strategy=finetune", "pretrain=layerwise", "pretrain.epochs=1"]
    monkeypatch.setenv("REGRAFT_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "run"
    if where == "while it pretrains":
        learn, parts = Method.minimise, iter(range(100))

        def killed(*args):
            return kill() if next(parts) == 2 else learn(*args)  # at the third stage of five

        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(Method, "minimise", killed)
            run_job(folder, *words)
    else:
        stopped(folder, monkeypatch, *words, step=1, happens=ctrl_c)
    go_on(folder, *words)
    whole = finished_run(*words)
    same(whole.folder, folder)
    digests = [one["pretrain"]["card"]["sha256"] for one in (whole.result, result(folder))]
    assert digests[0] == digests[1]


def test_another_of_several_devices_is_no_other_run(tmp_path):
    (tmp_path / "config.yaml").write_text("trainer: {devices: [1]}\noutput_dir: x\n")
    refuse_another(tmp_path, {"trainer": {"devices": [0]}, "output_dir": "x"})
    refuse_another(tmp_path, {"trainer": {"devices": 1}, "output_dir": "x"})
    with pytest.raises(RegraftError, match="devices"):
        refuse_another(tmp_path, {"trainer": {"devices": 2}, "output_dir": "x"})


def test_a_new_folder_holds_nothing_to_go_on_with(tmp_path, monkeypatch, caplog):
    stopped(tmp_path, monkeypatch, *TINY, "resume=auto", step=0)
    assert "resume=auto finds nothing in a new folder: give hydra.run.dir=<folder>" in caplog.text
