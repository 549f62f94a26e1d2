"""Residual networks: sizes of the published ones, and what their layers are."""

import pytest
import torch
import torchvision

from replication.models.images.resnet import ResNet
from replication.settings import models

DEPTHS = {
    "resnet18": {"blocks": [2, 2, 2, 2]},
    "resnet34": {"blocks": [3, 4, 6, 3]},
    "resnet50": {"blocks": [3, 4, 6, 3], "bottleneck": True},
}


def resnet(channels, classes, width, **settings):
    entry = models.ResNet(kind="resnet", learning_rate=0.001, width=width, **settings)
    return ResNet(entry, channels, classes)


@pytest.mark.parametrize("name", DEPTHS)
def test_parameters_are_torchvisions_but_for_the_stem(name):
    with torch.device("meta"):
        ours = resnet(3, 1000, 64, **DEPTHS[name])
        theirs = getattr(torchvision.models, name)()

    def shapes(model):
        return sorted(tuple(p.shape) for p in model.parameters())

    stem = shapes(theirs)
    stem[stem.index((64, 3, 7, 7))] = (64, 3, 3, 3)
    assert shapes(ours) == sorted(stem)


@pytest.mark.parametrize("name", DEPTHS)
def test_representations_shrink_stage_by_stage_and_end_in_the_logits(name):
    torch.manual_seed(0)
    model = resnet(1, 5, 8, **DEPTHS[name]).eval()
    x = torch.randn(2, 1, 16, 16)
    *maps, logits = model.representations(x)
    assert [m.shape[2] for m in maps] == [16, 16, 8, 4, 2]
    assert torch.equal(logits, model(x))
    assert logits.shape == (2, 5)
    assert torch.allclose(logits, model.head(maps[-1].mean((2, 3))), atol=1e-6)


def test_a_strided_stem_halves_every_map():
    model = resnet(1, 5, 8, stem_stride=2)
    *maps, _ = model.representations(torch.randn(2, 1, 28, 28))
    assert [m.shape[2] for m in maps] == [14, 14, 7, 4, 2]
