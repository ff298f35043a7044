"""Jobs that are started at the same time."""

import json
import subprocess
import sys


def test_two_jobs_that_race_send_each_image_through_once(tmp_path, repository, monkeypatch):
    monkeypatch.setenv("REGRAFT_CACHE", str(tmp_path / "cache"))
    command = [sys.executable, str(repository / "train.py"), "data.per_class=20", "logger=none"]
    runs = [
        subprocess.Popen([*command, f"hydra.run.dir={tmp_path / name}"], stdout=subprocess.DEVNULL)
        for name in "ab"
    ]
    assert [run.wait(timeout=300) for run in runs] == [0, 0]
    a, b = (json.loads((tmp_path / name / "result.json").read_text()) for name in "ab")
    assert a["cost"]["images_forwarded"] + b["cost"]["images_forwarded"] == 200 + 179 + 359
    assert a["metrics"] == b["metrics"]
