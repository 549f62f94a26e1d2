"""Networks, built from the settings of a model and the shape of a data set."""

from torch import nn

from replication.data.dataset import Dataset
from replication.settings import Model


def build(settings: Model, dataset: Dataset) -> nn.Module:
    """A freshly initialised network for `dataset`, from the global random state."""
    match settings.kind:
        case "resnet":
            from replication.models.resnet import ResNet

            channels = dataset.train.inputs.shape[1]
            options = settings.model_dump(exclude={"kind", "learning_rate"})
            return ResNet(channels, dataset.classes, **options)
        case "mlp":
            from replication.models.mlp import MLP as network
        case "saint":
            from replication.models.saint import SAINT as network
    features = dataset.train.inputs.shape[1]
    options = settings.model_dump(exclude={"kind", "learning_rate"})
    return network(features, dataset.classes, dataset.cardinalities, **options)
