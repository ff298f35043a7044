"""The two rounds of a ranking, as words; the sweep itself is in jobs/test_backbones.py."""

import json

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from rankings import candidate

from regraft.errors import RegraftError
from regraft.finalists import keep_published, plan_of, second_round
from regraft.paths import SWEEP
from regraft.ranking import published_in


def plan(*words, finalists=2):
    return plan_of(OverridesParser.create().parse_overrides(list(words)), finalists)


def test_a_probe_is_given_no_words_of_the_training_and_the_training_all():
    words = ["freeze.stages=2", "+augment=light", "optimizer.lr=0.1", "data.per_class=5"]
    made = plan("backbone=a,b", "strategy=lp_ft", *words)
    first = ["backbone=a", "data.per_class=5", "strategy=probe"]
    assert made["overrides"][0][:3] == first
    assert "augment=none" in made["overrides"][0]
    assert made["then"][0] == [["backbone=a", "strategy=lp_ft", *words]]
    assert made["jobs"] == 4


def test_candidates_are_probed_once_and_trained_with_every_seed():
    made = plan("seed=0,1,2", "backbone=timm", "backbone.name=a,b,c", "backbone.size=64,96")
    assert len(made["overrides"]) == len(made["then"]) == 6
    assert all("seed=0" in words for words in made["overrides"])
    assert [len(of_one) for of_one in made["then"]] == [3] * 6
    assert made["jobs"] == 6 + 2 * 3
    assert plan("backbone=a,b,c,b", finalists="all")["jobs"] == 6


@pytest.mark.parametrize(
    ("words", "finalists", "said"),
    [
        (["backbone=a"], 2, r"one backbone \(backbone=a\) leaves nothing to rank"),
        (["backbone=a,a"], 2, "nothing to rank"),
        (["backbone=a,b", "strategy=x,y"], 2, "strategy: a ranking of backbones takes several"),
        (["backbone=a,b", "data=x,y"], 2, "data: a ranking of backbones takes several"),
        (["backbone=a,b"], 1, "hydra.sweeper.finalists=1: give how many"),
        (["backbone=a,b"], "some", "hydra.sweeper.finalists=some: give how many"),
        (["backbone=a,b"], True, "hydra.sweeper.finalists=True"),
    ],
)
def test_what_cannot_be_ranked_is_a_line(words, finalists, said):
    with pytest.raises(RegraftError, match=said) as error:
        plan(*words, finalists=finalists)
    assert "\n" not in str(error.value)


def test_the_best_are_trained_and_a_probe_that_comes_late_adds_its_own(tmp_path):
    made = plan("backbone=a,b,c", "seed=0,1")
    (tmp_path / SWEEP).write_text(json.dumps(made))
    candidate(tmp_path, 0, "a", 0.5)
    candidate(tmp_path, 1, "b", 0.7)
    candidate(tmp_path, 2, "c", None)
    new = second_round(tmp_path, made)
    assert new == [*made["then"][1], *made["then"][0]]
    stored = json.loads((tmp_path / SWEEP).read_text())
    assert stored["overrides"] == [*made["overrides"], *new]
    assert stored["jobs"] == 7

    assert second_round(tmp_path, stored) == []
    candidate(tmp_path, 2, "c", 0.9)
    assert second_round(tmp_path, stored) == made["then"][2]


def test_without_any_probe_nothing_is_trained_and_other_sweeps_have_no_second_round(tmp_path):
    made = plan("backbone=a,b")
    candidate(tmp_path, 0, "a", None)
    with pytest.raises(RegraftError, match="none of the 2 candidates has a probe's result"):
        second_round(tmp_path, made)
    assert second_round(tmp_path, {"jobs": 2, "overrides": [["seed=0"], ["seed=1"]]}) == []


def test_published_accuracies_are_read_as_timm_writes_them_and_kept(tmp_path):
    table = tmp_path / "results-imagenet.csv"
    table.write_text(
        "model,top1,top1_err,top5,top5_err,param_count,img_size,crop_pct,interpolation\n"
        "one.tag_in1k,71.490,28.510,90.076,9.924,11.69,224,0.950,bicubic\n"
        'huge.tag,89.786,10.214,98.992,1.008,"1,014.45",560,1.000,bicubic\n'
    )
    sweep = tmp_path / "sweep"
    sweep.mkdir()
    assert published_in(sweep) is None
    keep_published(table, sweep)
    assert published_in(sweep) == {"one.tag_in1k": 71.49, "huge.tag": 89.786}

    for text in ("name,acc\na,1\n", "model,top1\na,high\n"):
        table.write_text(text)
        with pytest.raises(RegraftError, match="with the columns model and top1"):
            keep_published(table, sweep)
    with pytest.raises(RegraftError, match="published=.*none.csv: No such file"):
        keep_published(tmp_path / "none.csv", sweep)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["backbone=resnet18"], "one backbone (backbone=resnet18) leaves nothing to rank"),
        (["backbone=resnet18,resnt50"], "did you mean 'resnet50'?"),
        (["data=digits,fractals"], "data: a ranking of backbones takes several values of"),
        (["hydra.sweeper.finalists=1"], "hydra.sweeper.finalists=1: give how many"),
        (["hydra.sweeper.published=no.csv"], "hydra.sweeper.published=no.csv: No such file"),
    ],
)
def test_what_cannot_be_ranked_is_one_line_before_any_job(train, words, said):
    done = train("-m", "sweep=backbones", *words)
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert said in line
    assert not done.stdout
