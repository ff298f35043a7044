"""Where a person says that the hub and its cache are: read by the hub's client as it starts."""

import os
import subprocess
import sys

from hub import serving

CODE = "from regraft import hub; print(hub.fetch('team/net', ['model.safetensors']))"


def test_the_hub_and_its_cache_are_where_the_environment_says(tmp_path):
    left_out = ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HUB_OFFLINE")
    environment = {name: value for name, value in os.environ.items() if name not in left_out}
    with serving() as server:
        server.files["team/net", "model.safetensors"] = b"weights"
        environment |= {"HF_ENDPOINT": server.endpoint, "HF_HOME": str(tmp_path / "home")}
        environment |= {"NO_PROXY": "127.0.0.1"}
        done = subprocess.run(
            [sys.executable, "-c", CODE], env=environment, capture_output=True, text=True
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(tmp_path / "home" / "hub"))
    assert f"from {server.endpoint} to {tmp_path / 'home' / 'hub'}" in done.stderr
    assert len(server.downloads) == 1
