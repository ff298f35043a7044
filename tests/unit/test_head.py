import math

import pytest
import torch

from regraft import head
from regraft.errors import RegraftError

HEADS = {
    "linear": head.linear(8, (6, 4, 4), 3),
    "mlp": head.mlp(8, (6, 4, 4), 3, hidden=5, dropout=0.5),
    "conv_mlp": head.conv_mlp(8, (6, 4, 4), 3, width=4, hidden=5),
}


@pytest.mark.parametrize("made", HEADS.values(), ids=HEADS)
def test_logits_have_one_column_per_class_and_start_level(made):
    shape = (6, 4, 4) if made.takes == "map" else (8,)
    logits = made(torch.randn(5, *shape))

    assert logits.shape == (5, 3)
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor([0, 1, 2, 0, 1]))
    assert loss.item() == pytest.approx(math.log(3))


def test_a_head_of_convolutions_needs_a_map():
    with pytest.raises(RegraftError, match="conv_mlp needs one feature map"):
        head.conv_mlp(8, None, 3, width=4, hidden=5)


class Plain(torch.nn.Module):
    takes = "map"

    def forward(self, maps):
        return maps.mean((2, 3))


def test_a_module_that_knows_nothing_of_us_takes_what_it_says_or_pooled_features():
    assert head.as_head(torch.nn.Linear(8, 3)).takes == "pooled"
    made = head.made_by(Plain)
    assert (made.takes, made(torch.randn(5, 6, 4, 4)).shape) == ("map", (5, 6))
    assert head.as_head(made) is made
