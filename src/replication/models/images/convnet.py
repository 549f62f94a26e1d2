"""A plain convolutional network, for images too small to need a ResNet."""

from torch import Tensor, nn

from replication.data.dataset import Dataset
from replication.settings import models


class ConvNet(nn.Module):
    """Stages of a 3x3 convolution, batch norm and ReLU, each but the first on half the side, and a
    linear head on the mean of the last: (B, channels, H, W) -> logits (B, classes)."""

    def __init__(self, settings: models.ConvNet, channels: int, classes: int):
        super().__init__()
        stages = []
        for i, width in enumerate(settings.widths):
            convolution = nn.Conv2d(channels, width, 3, 1, 1, bias=False)
            half = [nn.MaxPool2d(2, ceil_mode=True)] if i else []
            stages.append(nn.Sequential(*half, convolution, nn.BatchNorm2d(width), nn.ReLU()))
            channels = width
        self.stages = nn.Sequential(*stages)
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(channels, classes)

    @classmethod
    def of(cls, settings: models.ConvNet, dataset: Dataset) -> "ConvNet":
        return cls(settings, dataset.train.inputs.shape[1], dataset.classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.representations(x)[-1]

    def representations(self, x: Tensor) -> list[Tensor]:
        """What each stage makes of x, (B, channels, h, w) each, and the logits (B, classes)."""
        maps = []
        for stage in self.stages:
            maps.append(stage(maps[-1] if maps else x))
        return [*maps, self.head(self.pool(maps[-1]))]
