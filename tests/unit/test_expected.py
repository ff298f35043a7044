import pytest
from omegaconf import OmegaConf

from regraft import expected
from regraft.summary import predicted


@pytest.fixture
def cfg(tmp_path, monkeypatch):
    monkeypatch.setenv("REGRAFT_CACHE", str(tmp_path / "cache"))
    words = {"seed": 0, "loader": {"batch_size": 8}, "output_dir": "${hydra:runtime.output_dir}"}
    return OmegaConf.create(words | {"tags": [], "weights": "${output_dir}/last.ckpt"})


def test_a_run_knows_what_doctor_said_of_its_config(cfg, tmp_path, monkeypatch):
    assert expected.cost(cfg) == {}
    expected.keep(cfg, 12.34567)
    assert expected.cost(cfg) == {"predicted_s": 12.346}
    same = OmegaConf.merge(cfg, {"output_dir": "elsewhere", "tags": ["a"]})
    assert expected.cost(same) == {"predicted_s": 12.346}
    for other in ({"seed": 1}, {"loader": {"batch_size": 16}}):
        assert expected.cost(OmegaConf.merge(cfg, other)) == {}
    monkeypatch.chdir(tmp_path)  # where a relative folder of images is another one
    assert expected.cost(cfg) == {}


def test_a_cache_that_cannot_be_used_compares_nothing(cfg, tmp_path):
    (tmp_path / "cache").write_text("no folder")
    expected.keep(cfg, 1.0)
    assert expected.cost(cfg) == {}


def test_the_prediction_is_shown_beside_what_it_took():
    assert predicted({"wall_s": 3.0, "predicted_s": 2.5}) == " (doctor said 2.5)"
    assert predicted({"wall_s": 3.0}) == ""
