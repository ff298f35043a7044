"""What doctor predicts, and what the run then takes, stand side by side."""

import json

from stripes import TINY, filled


def test_the_predicted_and_the_real_seconds_are_in_the_record(tmp_path, train, regraft):
    words = [*map(filled, TINY), "strategy=finetune"]
    env = {"REGRAFT_CACHE": str(tmp_path / "cache")}
    asked = regraft("doctor", *words, "--json", **env)
    said = next(one for one in json.loads(asked.stdout) if one["check"] == "time")["found"]
    done = train(*words, "hydra.run.dir=run", **env)
    assert done.returncode == 0, done.stderr
    cost = json.loads((tmp_path / "run" / "result.json").read_text())["cost"]
    assert said.startswith(f"about {cost['predicted_s']:.2g} s: ")
    assert cost["wall_s"] > 0
    assert f"(doctor said {cost['predicted_s']:.1f})" in " ".join(done.stdout.split())
