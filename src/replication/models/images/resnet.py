"""ResNets for small images: He et al. 2016 with the 3x3 stem that MedMNIST's experiments use."""

import torch.nn.functional as F
from torch import Tensor, nn

from replication.data.dataset import Dataset
from replication.settings import models


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut: (B, inputs, H, W) -> (B, outputs, H/s, W/s)."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.shortcut = _shortcut(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


class Bottleneck(nn.Module):
    """A 3x3 convolution at a quarter of the channels between two 1x1 ones, and a shortcut.

    (B, inputs, H, W) -> (B, outputs, H/s, W/s)
    """

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        inner = outputs // 4
        self.body = nn.Sequential(
            nn.Conv2d(inputs, inner, 1, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU(),
            nn.Conv2d(inner, inner, 3, stride, 1, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU(),
            nn.Conv2d(inner, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut = _shortcut(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + self.shortcut(x))


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Module:
    if stride == 1 and inputs == outputs:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


class ResNet(nn.Module):
    """Stem, four stages of blocks with width, 2, 4 and 8 times width channels, linear head.

    blocks (2, 2, 2, 2) and width 64 make ResNet-18, (3, 4, 6, 3) ResNet-34 and, with bottleneck
    blocks, which have four times the channels, ResNet-50. No max-pool and a 3x3 stem, of stride 1
    as published for images of 8 to 64 pixels; stride 2 takes a third of the time.
    (B, channels, H, W) -> logits (B, classes).
    """

    def __init__(self, settings: models.ResNet, channels: int, classes: int):
        super().__init__()
        width = settings.width
        self.stem = nn.Sequential(
            nn.Conv2d(channels, width, 3, settings.stem_stride, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        )
        block, expansion = (Bottleneck, 4) if settings.bottleneck else (BasicBlock, 1)
        channels, stages = width, []
        for i, depth in enumerate(settings.blocks):
            outputs = width * 2**i * expansion
            stride = 1 if i == 0 else 2
            stages.append(
                nn.Sequential(
                    block(channels, outputs, stride),
                    *(block(outputs, outputs, 1) for _ in range(depth - 1)),
                )
            )
            channels = outputs
        self.stages = nn.Sequential(*stages)
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(channels, classes)

    @classmethod
    def of(cls, settings: models.ResNet, dataset: Dataset) -> "ResNet":
        return cls(settings, dataset.train.inputs.shape[1], dataset.classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.representations(x)[-1]

    def representations(self, x: Tensor) -> list[Tensor]:
        """What stem and stages make of x, (B, channels, h, w) each, and the logits (B, classes)."""
        maps = [self.stem(x)]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        return [*maps, self.head(self.pool(maps[-1]))]
