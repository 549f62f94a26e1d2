"""The registry of models: each fits the data set that it is built for."""

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torchvision.models import resnet50

from replication import settings
from replication.data.dataset import Dataset, Split
from replication.models import MODELS, build
from replication.models.images import pretrained
from replication.settings.models import AnyModel


def of_images(channels):
    split = Split(np.zeros((4, channels, 8, 8), np.uint8), np.arange(4))
    return Dataset("images", 4, split, split, {"test": split}, "accuracy", torch.Tensor.float)


def of_features():
    split = Split(np.ones((4, 5), np.float32), np.arange(4))
    return Dataset("seen", 4, split, split, {"test": split}, "accuracy", torch.Tensor.float)


def of_rows():
    split = Split(np.ones((4, 5), np.float32), np.arange(4))
    return Dataset("rows", 4, split, split, {"test": split}, "auroc", torch.Tensor.float, (3, 2))


@pytest.mark.parametrize("name", [n for n, m in settings.load().models.items() if m.kind in MODELS])
def test_every_entry_of_the_definitions_fits_its_data(name, monkeypatch):
    """Published weights are stood in for by random ones."""
    monkeypatch.setattr(pretrained, "_torchvision", lambda _: resnet50().state_dict())
    monkeypatch.setattr(pretrained, "_package", lambda network: network.state_dict())
    entry = settings.load().models[name]
    pixels = [of_features()] if entry.frozen else [of_images(1), of_images(3)]
    for dataset in pixels if entry.takes == "images" else [of_rows()]:
        torch.manual_seed(0)
        model = build(entry, dataset)
        logits = model(dataset.prepare(torch.from_numpy(dataset.train.inputs)))
        assert logits.shape == (4, 4)
        torch.manual_seed(0)
        again = build(entry, dataset)
        assert all(map(torch.equal, model.parameters(), again.parameters()))
        assert type(model).__module__.split(".")[2] == entry.takes


VALID = {
    "resnet": {"width": 8},
    "mlp": {
        "hidden": [4],
        "dropout": 0.1,
        "batch_norm": False,
        "encoding": "one-hot",
        "embedding_dim": 2,
    },
    "saint": {"dim": 4, "depth": 1, "heads": 1, "dropout": 0.1, "row_attention": True},
}


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [
        ("resnet", "width", 7),
        ("resnet", "blocks", [2, 2, 2]),
        ("resnet", "stem_stride", 0),
        ("mlp", "encoding", "binary"),
        ("mlp", "dropout", 1.5),
        ("mlp", "embedding_dim", 0),
        ("saint", "depth", 0),
        ("saint", "heads", 0),
        ("saint", "learning_rate", 0.0),
    ],
)
def test_settings_out_of_range_are_refused_by_name(kind, key, value):
    entry = {"kind": kind, "learning_rate": 0.1} | VALID[kind]
    TypeAdapter(AnyModel).validate_python(entry)
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(AnyModel).validate_python(entry | {key: value})
    assert [error["loc"][1] for error in caught.value.errors()] == [key]
