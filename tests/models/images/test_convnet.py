"""The small convolutional network, against its own arithmetic."""

import pytest
import torch
import torch.nn.functional as F

from replication.models.images.convnet import ConvNet
from replication.settings import models


def network(widths=(8, 16), channels=1, classes=3):
    entry = models.ConvNet(kind="convnet", learning_rate=0.001, widths=[*widths])
    return ConvNet(entry, channels, classes)


@pytest.mark.parametrize("side", [8, 9, 28])
def test_each_stage_but_the_first_has_half_the_side(side):
    maps = network((8, 16, 24)).representations(torch.randn(2, 1, side, side))
    half = (side + 1) // 2
    sides = [side, half, (half + 1) // 2]
    assert [m.shape for m in maps] == [
        *((2, width, s, s) for width, s in zip((8, 16, 24), sides, strict=True)),
        (2, 3),
    ]


def test_logits_by_hand():
    model, x = network().eval(), torch.randn(2, 1, 8, 8)
    first, second = model.stages
    y = F.relu(first[1](F.conv2d(x, first[0].weight, padding=1)))
    y = y.unfold(2, 2, 2).unfold(3, 2, 2).amax((4, 5))
    y = F.relu(second[2](F.conv2d(y, second[1].weight, padding=1)))
    torch.testing.assert_close(model(x), y.mean((2, 3)) @ model.head.weight.T + model.head.bias)
    assert torch.equal(model(x), model.representations(x)[-1])
