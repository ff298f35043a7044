import pytest
from rankings import candidate, rank, right, training, write

from regraft.errors import RegraftError
from regraft.ranking import SCORES, best


def lost(made):
    return {one.score: one for one in made.regrets}


def test_the_best_probe_is_first_and_who_cannot_be_told_from_it_ties(tmp_path):
    candidate(tmp_path, 0, "bad", 0.4)
    candidate(tmp_path, 1, "good", 0.8)
    candidate(tmp_path, 2, "near", 0.79, told=right(0.79, first=6))
    candidate(tmp_path, 3, "broken", None)
    made = rank(tmp_path, 4)
    assert [one.name for one in made.candidates] == ["good", "near", "bad", "broken"]
    assert made.by_probe.best == "good"
    assert set(made.by_probe.winners) == {"good", "near"}
    assert made.sentence.startswith("The probe's first choice is good; near cannot be told from it")
    assert "not measured" in made.sentence


def test_probes_are_compared_on_the_same_images_not_by_their_intervals(tmp_path):
    """Ten images of 200 lie within each other's intervals, but one probe got all ten besides."""
    candidate(tmp_path, 0, "a", 0.80)
    candidate(tmp_path, 1, "b", 0.75)
    assert rank(tmp_path, 2).by_probe.winners == ("a",)
    candidate(tmp_path, 1, "b", 0.75, told=right(0.75, first=30))
    assert rank(tmp_path, 2).by_probe.winners == ("a", "b")


def test_regret_is_what_a_scores_first_choice_lost_on_the_test_images(tmp_path):
    candidate(tmp_path, 0, "a", 0.8, logme=0.1, params=5_000)
    candidate(tmp_path, 1, "b", 0.7, logme=0.3, params=9_000)
    training(tmp_path, 2, "a", 0.60)
    training(tmp_path, 3, "b", 0.75)
    made = rank(tmp_path, 2, {"a.tag": 80.0, "b.tag": 70.0})
    found = lost(made)
    assert list(found) == list(SCORES)
    assert found["linear probe"].choice == "a"
    assert found["linear probe"].behind == pytest.approx(0.15)
    low, high = found["linear probe"].interval
    assert 0.05 < low < 0.15 < high < 0.25
    assert not found["linear probe"].tie
    assert (found["LogME"].choice, found["LogME"].behind) == ("b", 0.0)
    assert (found["parameters"].choice, found["parameters"].behind) == ("b", 0.0)
    assert found["ImageNet top-1"].choice == "a"
    assert found["H-score"].why == "the same of a and b"
    assert made.sentence.endswith("Of the 2 that were trained, b is the best.")


def test_a_loss_that_the_test_images_do_not_show_is_a_tie(tmp_path):
    candidate(tmp_path, 0, "a", 0.8)
    candidate(tmp_path, 1, "b", 0.7)
    training(tmp_path, 2, "a", 0.74, told=right(0.74, first=20))
    training(tmp_path, 3, "b", 0.75)
    made = rank(tmp_path, 2)
    regret = lost(made)["linear probe"]
    assert regret.tie
    assert regret.interval[0] < 0 < regret.interval[1]
    assert made.sentence.endswith("Of the 2 that were trained, a and b tie.")


def test_a_published_accuracy_is_never_guessed(tmp_path):
    candidate(tmp_path, 0, "a", 0.8)
    candidate(tmp_path, 1, "b", 0.7, weights="random")
    training(tmp_path, 2, "a", 0.7)
    training(tmp_path, 3, "b", 0.8)

    def published(table):
        return [one.published for one in rank(tmp_path, 2, table).candidates]

    assert published(None) == ["not shipped", "other weights"]
    assert published({"other.tag": 70.0}) == ["not listed", "other weights"]
    assert published({"a.tag": 70.0, "b.tag": 90.0}) == [70.0, "other weights"]
    regret = lost(rank(tmp_path, 2))["ImageNet top-1"]
    assert (regret.choice, regret.behind) == (None, None)
    assert regret.why == "a: not shipped"


def test_several_seeds_are_averaged_and_a_failed_training_is_no_result(tmp_path):
    candidate(tmp_path, 0, "a", 0.8)
    candidate(tmp_path, 1, "b", 0.7)
    for seed in range(2):
        training(tmp_path, 2 + seed, "a", 0.6 + 0.1 * seed, seed=seed)
    write(tmp_path, 4, "b", {"status": "failed", "error": "diverged"})
    made = rank(tmp_path, 2)
    assert made.candidates[0].trained.scores.mean == pytest.approx(0.65)
    assert [one.name for one in made.trained] == ["a"]
    assert all(one.why == "fewer than two were trained" for one in made.regrets)


def test_the_best_few_are_chosen_by_probe(tmp_path):
    for number, acc in enumerate((0.5, None, 0.9, 0.7)):
        candidate(tmp_path, number, "abcd"[number], acc)
    assert best(tmp_path, 4, 2) == [2, 3]
    assert best(tmp_path, 4, 4) == [2, 3, 0]
    with pytest.raises(RegraftError, match="none of the 1 candidates"):
        candidate(tmp_path / "none", 0, "a", None)
        best(tmp_path / "none", 1, 2)
