"""ResNets for small images: He et al. 2016 with the 3x3 stem that MedMNIST's experiments use."""

import torch.nn.functional as F
from torch import Tensor, nn


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut: (B, inputs, H, W) -> (B, outputs, H/s, W/s)."""

    def __init__(self, inputs: int, outputs: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


class ResNet(nn.Module):
    """Stem, four stages of basic blocks with width, 2, 4 and 8 times width channels, linear head.

    blocks (2, 2, 2, 2) and width 64 make ResNet-18, (3, 4, 6, 3) ResNet-34. No max-pool and a
    stem of stride 1, for images of 8 to 64 pixels. (B, in_channels, H, W) -> logits (B, classes).
    """

    def __init__(
        self,
        in_channels: int,
        classes: int,
        width: int = 64,
        blocks: tuple[int, int, int, int] = (2, 2, 2, 2),
    ):
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()
        )
        channels, stages = width, []
        for i, depth in enumerate(blocks):
            outputs = width * 2**i
            stride = 1 if i == 0 else 2
            stages.append(
                nn.Sequential(
                    BasicBlock(channels, outputs, stride),
                    *(BasicBlock(outputs, outputs, 1) for _ in range(depth - 1)),
                )
            )
            channels = outputs
        self.stages = nn.Sequential(*stages)
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.pool(self.stages(self.stem(x))))


def ResNet18(in_channels: int, classes: int, width: int = 64) -> ResNet:
    """ResNet-18 with `width` channels in its first stage; 64 is the published network."""
    return ResNet(in_channels, classes, width)
