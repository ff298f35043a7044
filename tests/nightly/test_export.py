"""Every backbone family in every format says what the checkpoint says, by its own readers too."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import exports
import pytest
import torch
from families import FAMILIES

from regraft import trained
from regraft.export.export import export

PLACES = [Path(module.__file__).parents[1] for module in (torch, trained)]


@pytest.mark.parametrize("format", ["onnx", "torch_export", "timm", "safetensors"])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_the_same_in_every_format(format, family, tmp_path):
    run = exports.make_run(tmp_path / "run", *FAMILIES[family])
    done = export(run, format, tmp_path / "out")
    assert done.parity.holds
    assert done.parity.logit > 0.1  # it does say something
    for path in (tmp_path / "out").iterdir():
        # A stack trace would tell where this machine has what.
        content = path.read_bytes()
        assert not any(str(place).encode() in content for place in PLACES)


@pytest.mark.parametrize(
    ("format", "head", "dropped", "family"),
    [
        ("onnx", "mlp", 0, "resnet"),
        ("onnx", "conv_mlp", 0, "swin"),
        ("onnx", "linear", 1, "densenet"),
        ("torch_export", "conv_mlp", 2, "resnet"),
    ],
)
def test_every_head_and_networks_that_are_cut_off(format, head, dropped, family, tmp_path):
    run = exports.make_run(tmp_path / "run", *FAMILIES[family], head=head, dropped=dropped)
    assert export(run, format, tmp_path / "out").parity.holds


def test_timm_reads_the_embedded_network_where_there_is_no_regraft(tmp_path):
    run = exports.make_run(tmp_path / "run", "fractal_resnet", None)
    export(run, "timm", tmp_path / "out")
    program = (
        "import timm; net = timm.create_model('local-dir:out', pretrained=True); "
        "assert not timm.is_model('fractal_resnet'); print(net.num_classes)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout == "7\n", done.stderr


EACH = """
import sys
from regraft import cli
for format in ("onnx", "torch_export", "timm", "safetensors"):
    sys.argv = ["regraft", "export", "run", "--to", format, "--out", "disk/out"]
    try:
        cli.main()
    except SystemExit as end:
        print(end.code)
"""


def test_a_full_disk_is_one_line_and_nothing_is_left_on_it(tmp_path):
    exports.make_run(tmp_path / "run", "test_resnet", 64, **exports.RESULT)
    inside = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    (tmp_path / "disk").mkdir()
    mount = "mount -t tmpfs -o size=1m tmpfs disk"
    if not shutil.which("unshare") or subprocess.run([*inside, mount], cwd=tmp_path).returncode:
        pytest.skip("nothing can be mounted here")
    (tmp_path / "each.py").write_text(EACH)
    script = f"{mount} && {sys.executable} each.py; ls -A disk"
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([*inside, script], cwd=tmp_path, capture_output=True, text=True, env=env)
    assert done.stdout.split() == ["1"] * 4, done.stderr
    assert len(done.stderr.splitlines()) == 4
    for line in done.stderr.splitlines():
        assert "disk/out: the disk is full; free space" in line
        assert line.endswith("--out <folder>")
