import itertools

import pytest
import torch
from blobs import task
from torch import nn

from regraft.pretrain.rbm import RBM, Machine, divergence

SETTINGS = {"start": "random", "unlabeled": None, "batch_size": 8, "weight_decay": 0.0}


def machine(visible=3, hidden=2):
    torch.manual_seed(0)
    made = Machine(nn.Linear(visible, hidden)).double()
    nn.init.normal_(made.visible_bias)
    return made


def test_the_free_energy_sums_hidden_units_out():
    """F(v) = -log sum_h exp(-E(v, h)), over all states of the hidden units."""
    made = machine()
    w, c, b = made.linear.weight, made.linear.bias, made.visible_bias
    for v in itertools.product([0.0, 1.0], repeat=3):
        v = torch.tensor(v, dtype=torch.float64)
        states = [torch.tensor(h, dtype=torch.float64) for h in itertools.product([0, 1], repeat=2)]
        minus = torch.stack([h @ w @ v + b @ v + c @ h for h in states])
        assert made.energy(v[None]).item() == pytest.approx(-minus.logsumexp(0).item())


def test_a_step_is_that_of_contrastive_divergence(monkeypatch):
    """<v h> of the data minus <v h> of the reconstruction, one image and one unit at a time."""
    made = machine()
    data = torch.rand(4, 3, dtype=torch.float64)
    monkeypatch.setattr(torch, "bernoulli", lambda p: (p > 0.5).to(p))  # no chance in either
    divergence(made, data, 1).backward()

    b, w, c = (p.detach() for p in made.parameters())
    grad_w, grad_b, grad_c = torch.zeros_like(w), torch.zeros_like(b), torch.zeros_like(c)
    for v0 in data:
        h0 = [torch.sigmoid(c[j] + sum(w[j, i] * v0[i] for i in range(3))) for j in range(2)]
        on = [float(p > 0.5) for p in h0]
        v1 = [torch.sigmoid(b[i] + sum(w[j, i] * on[j] for j in range(2))) for i in range(3)]
        h1 = [torch.sigmoid(c[j] + sum(w[j, i] * v1[i] for i in range(3))) for j in range(2)]
        for i in range(3):
            grad_b[i] -= (v0[i] - v1[i]) / len(data)
            for j in range(2):
                grad_w[j, i] -= (h0[j] * v0[i] - h1[j] * v1[i]) / len(data)
        for j in range(2):
            grad_c[j] -= (h0[j] - h1[j]) / len(data)
    torch.testing.assert_close(made.linear.weight.grad, grad_w)
    torch.testing.assert_close(made.linear.bias.grad, grad_c)
    torch.testing.assert_close(made.visible_bias.grad, grad_b)


def test_the_chain_goes_to_the_distribution_of_the_machine():
    """After many steps, visible states are as frequent as their free energies say."""
    made = machine(visible=2)
    torch.manual_seed(0)
    states = torch.tensor([*itertools.product([0.0, 1.0], repeat=2)], dtype=torch.float64)
    share = (-made.energy(states)).softmax(0)
    with torch.no_grad():
        means = made.chain(torch.rand(20000, 2, dtype=torch.float64), 30).mean(0)
    torch.testing.assert_close(means, (share[:, None] * states).sum(0), atol=0.02, rtol=0)


def test_a_stack_learns_to_reconstruct_what_it_sees(tmp_path, monkeypatch):
    monkeypatch.setenv("REGRAFT_CACHE", str(tmp_path))
    made = task("sigmoid_mlp", None)
    layer = made.backbone.net.layers[0]
    images = made.images.input.normalize(made.images.datasets["train"].held)
    data = layer.units(images)

    def error(machine):
        return (machine.chain(data, 1) - data).square().mean().item()

    before = error(Machine(layer.linear))
    found = RBM(epochs=30, lr=1e-2, gibbs_steps=1, **SETTINGS).learn(made)
    assert [part.stages for part in found] == ["stem", "stage1", "stage2"]
    learned = Machine(layer.linear)
    learned.visible_bias.data += torch.logit(data.mean(0).clamp(0.01, 0.99))  # thrown away with it
    assert error(learned) < before
