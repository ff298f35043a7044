"""Jobs on two devices that go through phases, and that are killed; cli/test_devices.py has one."""

import json
import signal

import torch
from devices_together import TWO, start, trained_together
from runs import TINY, filled


def test_stages_that_begin_later_are_the_same_in_both_processes():
    first, second = trained_together(
        *["trainer.strategy=ddp_find_unused_parameters_true", "strategy=gradual", "logger=none"],
        *["data.per_class=3", "loader.batch_size=10", "trainer.max_epochs=3"],
    ).ranks
    assert first["after"] == second["after"]  # so few images leave the statistics alone
    name = "conv1.0.weight"  # of the stem, the last to begin
    assert first["before"][name] != first["after"][name]


def test_a_killed_job_goes_on_in_all_its_processes(tmp_path):
    """As one that was never stopped: the processes read the first one's checkpoint."""
    words = [*map(filled, TINY)]
    words += [*TWO, "freeze=first", "freeze.stages=3", "head=linear", "trainer.max_epochs=3"]
    killer = f"{{_target_:killer.Killer,folder:'{tmp_path}',step:5,group:true}}"
    words += [f"+callbacks.killer={killer}"]
    # The installed command, of which Lightning starts the other processes as well.
    killed = start(tmp_path, "-m", "regraft.cli", "train", *words, "hydra.run.dir=stopped")
    assert killed.returncode == -signal.SIGKILL
    last = tmp_path / "stopped/checkpoints/last.ckpt"
    assert torch.load(last, weights_only=True)["epoch"] == 0
    # By its name, and the other processes by that of the module that Lightning finds in it.
    resumed = start(tmp_path, "-m", "regraft.cli", "resume", "stopped")
    assert resumed.returncode == 0, resumed.stderr
    assert "goes on after step 3" in resumed.stdout
    # The blow has fallen, so this one is left alone.
    whole = start(tmp_path, "-m", "regraft.cli", "train", *words, "hydra.run.dir=whole")
    assert whole.returncode == 0, whole.stderr

    states = [
        torch.load(tmp_path / name / "checkpoints/last.ckpt", weights_only=True)["state_dict"]
        for name in ("whole", "stopped")
    ]
    for name, tensor in states[0].items():
        assert torch.equal(tensor, states[1][name]), name
    metrics = [
        json.loads((tmp_path / name / "result.json").read_text())["metrics"]
        for name in ("whole", "stopped")
    ]
    assert metrics[0] == metrics[1]
