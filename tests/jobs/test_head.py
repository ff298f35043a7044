"""A head of a team's own, and a probe of the first stages, in whole jobs."""

from runs import TINY

from regraft import trained, trust

CODE = """
from torch import nn


class Narrow(nn.Module):
    takes = "map"

    def __init__(self, features, map_shape, num_classes, *, width: int = 2):
        super().__init__()
        self.convolution = nn.Conv2d(map_shape[0], width, 1)
        self.last = nn.Linear(width, num_classes)

    def forward(self, maps):
        return self.last(self.convolution(maps).mean((2, 3)))
"""


def test_a_class_of_layers_is_trained_as_a_head_and_used_again(train, tmp_path, monkeypatch):
    (tmp_path / "narrow_head.py").write_text(CODE)
    conf = tmp_path / "conf" / "head"
    conf.mkdir(parents=True)
    (conf / "narrow.yaml").write_text("# Narrow.\n_target_: narrow_head.Narrow\nwidth: 3\n")
    monkeypatch.syspath_prepend(tmp_path)
    run = tmp_path / "run"
    words = (f"--config-dir={tmp_path}/conf", "--trust=narrow_head", "head=narrow")
    done = train(*TINY, *words, f"hydra.run.dir={run}")
    assert done.returncode == 0, done.stderr
    monkeypatch.setattr(trust, "users", lambda: ("narrow_head.",))
    assert trained.load(run).network.head.layers[0].convolution.out_channels == 3


def test_the_first_stages_are_probed_by_their_means(finished_run):
    run = finished_run(*TINY, "strategy=probe", "freeze=first", "freeze.stages=2")
    assert run.returncode == 0, run.stderr
    assert run.result["scores"]["features"] > 0
    assert 0 <= run.result["scores"]["linear"]["acc"] <= 1
