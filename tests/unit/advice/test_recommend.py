from dataclasses import replace

import pytest
from advised import AUTO, evidence

from regraft.advice.measure import EASY
from regraft.advice.recommend import recommend


@pytest.mark.parametrize(
    ("similar", "small", "expected"),
    [
        (0.9, 0.9, {"strategy=feature_extraction", "head=mlp", "freeze=all"}),
        (0.9, 0.1, {"strategy=finetune", "optimizer.backbone_ratio=0.1"}),
        (0.1, 0.9, {"strategy=finetune", "optimizer.backbone_ratio=1"}),
        (0.1, 0.1, {"strategy=finetune", "optimizer.backbone_ratio=1"}),
        (None, 0.9, {"strategy=scratch"}),
    ],
)
def test_each_cell_has_its_strategy(similar, small, expected):
    choices = recommend(evidence(similar=similar, small=small), AUTO, 64)
    words = {word for choice in choices for word in choice.words.split()}
    assert expected <= words
    assert choices[0].words.startswith("strategy=")
    assert all(len(choice.reason) > 20 for choice in choices)


@pytest.mark.parametrize(
    ("images", "words"),
    [(50, "20 steps of 64 images, too few"), (6400, "2,000 steps of 64 images, enough")],
)
def test_few_images_are_trained_on_for_as_many_steps(images, words):
    last = recommend(evidence(similar=0.9, small=0.9, images=images), AUTO, 64)[-1]
    assert last.words == "trainer.max_epochs=20 min_steps=400"
    assert words in last.reason


def test_a_rare_class_is_given_weight():
    made = evidence(similar=0.9, small=0.9)
    rare = replace(made, size=replace(made.size, smallest=2, largest=20))
    words = [choice.words for choice in recommend(rare, AUTO, 64)]
    assert "balance=weights" in words
    assert "balance=weights" not in [choice.words for choice in recommend(made, AUTO, 64)]


def test_where_features_stop_helping_is_a_reason():
    made = evidence(similar=0.1, small=0.1)
    assert "features get better up to stage1" in recommend(made, AUTO, 64)[1].reason
    backwards = replace(made.similarity, depths=made.similarity.depths[::-1])
    [_, cut, *_] = recommend(replace(made, similarity=backwards), AUTO, 64)
    assert cut.words == "freeze=none"
    assert "above stage1 features stop getting better" in cut.reason


def test_frozen_features_are_read_where_they_are_best_if_that_is_certain():
    made = evidence(similar=0.9, small=0.9)
    assert recommend(made, AUTO, 64)[1].words == "freeze=all"
    backwards = replace(made.similarity, depths=made.similarity.depths[::-1])
    assert backwards.worse_above() < 0.05
    cut = recommend(replace(made, similarity=backwards), AUTO, 64)[1]
    assert cut.words == "freeze=first freeze.stages=1 freeze.above=drop"


def test_where_random_features_will_do_the_frozen_trunk_does():
    made = replace(evidence(similar=None, small=0.9), no_similarity_because=EASY)
    assert recommend(made, AUTO, 64)[0].words == "strategy=feature_extraction"
