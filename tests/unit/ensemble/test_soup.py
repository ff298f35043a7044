import itertools
import json

import numpy as np
import pytest
import torch
from torch import nn

from regraft.ensemble.kitchen import Kitchen, refuse_another_run
from regraft.ensemble.members import Member
from regraft.ensemble.soup import (
    add,
    greedy,
    mean,
    moved_statistics,
    refuse_other_shapes,
    refuse_other_starts,
)
from regraft.errors import RegraftError
from regraft.jobs import read_job


def states(count, seed):
    """Linear classifiers of two features, each a little off the right one, best first."""
    rng = np.random.default_rng(seed)
    right = np.array([[1.0, 0], [0, 1], [-1, -1]])
    x = rng.normal(size=(80, 2))
    labels = (x @ right.T).argmax(1)
    weights = [right + rng.normal(scale=1.0, size=(3, 2)) for _ in range(count)]
    weights.sort(key=lambda w: -acc_of(w, x, labels))
    return weights, x, labels


def acc_of(weights, x, labels):
    return float(((x @ weights.T).argmax(1) == labels).mean())


@pytest.mark.parametrize("seed", range(8))
def test_greedy_goes_the_way_of_brute_force(seed):
    """Of all subsets that keep the first, the one that takes each that does not make it worse."""
    weights, x, labels = states(6, seed)
    wanted = None
    for taken in itertools.product([False, True], repeat=5):
        chosen = [0]
        for number, take in enumerate(taken, start=1):
            before = acc_of(np.mean([weights[i] for i in chosen], axis=0), x, labels)
            after = acc_of(np.mean([weights[i] for i in [*chosen, number]], axis=0), x, labels)
            if take != (after >= before):
                break
            chosen += [number] * take
        else:
            assert wanted is None
            wanted = chosen

    def judge(state):
        return acc_of(state["w"].numpy(), x, labels), state

    found = greedy(({"w": torch.tensor(w)} for w in weights), judge)
    assert list(found.ingredients) == wanted
    made = np.mean([weights[i] for i in wanted], axis=0)
    assert np.allclose(found.state["w"], made)
    assert found.acc == acc_of(made, x, labels) >= acc_of(weights[0], x, labels)


def test_some_soups_take_some_and_leave_some():
    """Else the brute force above says nothing."""
    sizes = set()
    for seed in range(8):
        weights, x, labels = states(6, seed)
        soup = greedy(
            ({"w": torch.tensor(w)} for w in weights),
            lambda s, x=x, labels=labels: (acc_of(s["w"].numpy(), x, labels), s),
        )
        sizes.add(len(soup.ingredients))
    assert len(sizes) > 2


def test_a_mean_keeps_types_and_counters_and_what_is_the_same_to_the_bit():
    same = torch.rand(50)
    first = {"w": torch.tensor([1.0, 3.0]), "same": same, "n": torch.tensor(7)}
    second = {"w": torch.tensor([2.0, 5.0]), "same": same, "n": torch.tensor(9)}
    total = add(add(add({}, first), second), second)
    made = mean(total, 3, first)
    assert made["w"].tolist() == pytest.approx([5 / 3, 13 / 3])
    assert made["n"] == 7
    assert torch.equal(made["same"], same)
    assert {tensor.dtype for tensor in made.values()} == {torch.float32, torch.int64}


class Pictures:
    """Stands for the images of a run: batches of two features."""

    def __init__(self, x):
        self.x, self.input = x, self

    def normalize(self, x):
        return x

    def loader(self, split, *, shuffle):
        assert shuffle == (split == "train")
        return [(part, (part[:, 0] > 0).long()) for part in self.x.split(10)]


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Dropout(0.5))


def test_only_statistics_that_were_trained_are_computed_anew():
    net = network().eval()
    kitchen = Kitchen(net, Pictures(torch.randn(100, 2)), torch.device("cpu"))
    state = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    state["2.running_mean"] += 1
    assert moved_statistics(kitchen.first, state) == ["2"]
    net.load_state_dict(state)
    kitchen.renew(["2"])
    assert torch.equal(net[0].running_mean, torch.zeros(2))
    below = net[1](net[0](kitchen.images.x))
    assert torch.allclose(net[2].running_mean, below.mean(0), atol=1e-5)
    batches = torch.stack([part.var(0) for part in below.split(10)])
    assert torch.allclose(net[2].running_var, batches.mean(0), atol=1e-5)
    assert not any(module.training for module in net.modules())
    assert net[2].momentum == 0.1


def test_what_is_judged_are_weights_with_statistics_that_fit_them():
    net = network().eval()
    kitchen = Kitchen(net, Pictures(torch.randn(100, 2)), torch.device("cpu"))
    acc, kept = kitchen.judge(kitchen.first)
    assert all(torch.equal(tensor, kitchen.first[name]) for name, tensor in kept.items())
    state = {**kitchen.first, "2.running_mean": torch.full((2,), 50.0)}
    state["2.running_mean"][0] = -50  # all of one class
    again, renewed = kitchen.judge(state)
    assert {name for name in state if not torch.equal(renewed[name], kitchen.first[name])} == {
        "2.running_mean", "2.running_var", "2.num_batches_tracked",
    }  # fmt: skip
    net.load_state_dict(renewed)
    logits, labels = kitchen.say("val")
    assert again == (logits.argmax(1) == labels).double().mean()
    assert logits.shape == (100, 2) and 0 <= acc <= 1
    assert len(logits.argmax(1).unique()) == 2


def run(folder, number, **changes):
    """A member of which only its beginning is known."""
    record = {
        "status": "finished",
        "seed": number,
        "backbone": "resnet18",
        "input": {"size": [64, 64]},
        "weights": {"sha256": "ab" * 32},
        "plan": [{"action": "tune"}] * 5,
        "metrics": {"test/acc": 0.5},
    }
    job = folder / str(number)
    job.mkdir()
    (job / "result.json").write_text(json.dumps(record | changes))
    return Member(read_job(job), str(number), "", {}, None)


def test_a_run_that_was_trained_is_not_replaced_and_an_earlier_soup_is(tmp_path):
    (tmp_path / "soup").mkdir()
    refuse_another_run(tmp_path / "soup")
    record = {"status": "finished", "metrics": {}}
    (tmp_path / "soup" / "result.json").write_text(json.dumps(record | {"soup": ["0", "1"]}))
    refuse_another_run(tmp_path / "soup")
    (tmp_path / "soup" / "result.json").write_text(json.dumps(record))
    with pytest.raises(RegraftError, match="soup is a run of its own: rename it, or add --out"):
        refuse_another_run(tmp_path / "soup")


def test_runs_of_one_start_are_taken_whatever_their_seeds(tmp_path):
    refuse_other_starts([run(tmp_path, 0), run(tmp_path, 1)], random_head=False)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"backbone": "vgg16"}, "backbone vgg16, .* with resnet18"),
        ({"input": {"size": [32, 32]}}, "images of"),
        ({"weights": {"sha256": "cd" * 32}}, "weights cdcdcdcdcdcd"),
        ({"weights": None}, "weights that are random"),
        ({"plan": [{"action": "tune"}] * 4 + [{"action": "reset"}]}, r"new stages \[4\]"),
    ],
)
def test_another_start_is_refused_with_what_it_is(changes, words, tmp_path):
    with pytest.raises(RegraftError, match=words) as error:
        refuse_other_starts([run(tmp_path, 0), run(tmp_path, 1, **changes)], random_head=False)
    assert "began with the same" in str(error.value)


@pytest.mark.parametrize(
    "common", [{"weights": None}, {"plan": [{"action": "tune"}, {"action": "reset"}]}]
)
def test_random_weights_of_two_seeds_are_no_common_start(common, tmp_path):
    runs = [run(tmp_path, 0, **common), run(tmp_path, 1, **common)]
    with pytest.raises(RegraftError, match="random weights of seed 1, .* with 0"):
        refuse_other_starts(runs, random_head=False)
    with pytest.raises(RegraftError, match="random weights of seed"):
        refuse_other_starts([run(tmp_path, 2), run(tmp_path, 3)], random_head=True)
    refuse_other_starts([runs[0], run(tmp_path, 4, **common, seed=0)], random_head=True)


def test_another_head_is_refused_by_its_tensor():
    first = {"head.w": torch.zeros(3, 2)}
    with pytest.raises(RegraftError, match=r"head\.w is \(4, 2\), and in the best run \(3, 2\)"):
        refuse_other_shapes(first, {"head.w": torch.zeros(4, 2)}, "sweep/1")
    with pytest.raises(RegraftError, match=r"head\.x is \(1,\), and in the best run missing"):
        refuse_other_shapes(first, {**first, "head.x": torch.zeros(1)}, "sweep/1")
