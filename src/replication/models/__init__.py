"""Networks, by kind, built for a data set. Each is imported when it is built."""

from importlib import import_module

from torch import nn

from replication.data.dataset import Dataset
from replication.settings.models import AnyModel

MODELS = {
    "convnet": "images.convnet.ConvNet",
    "resnet": "images.resnet.ResNet",
    "classifier": "images.pretrained.Classifier",
    "head": "images.pretrained.Head",
    "mlp": "tabular.mlp.MLP",
    "saint": "tabular.saint.SAINT",
}


def build(settings: AnyModel, dataset: Dataset) -> nn.Module:
    """A freshly initialised network for `dataset`, from the global random state."""
    module, name = MODELS[settings.kind].rsplit(".", 1)
    return getattr(import_module(f"{__name__}.{module}"), name).of(settings, dataset)
