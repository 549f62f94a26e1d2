"""Data sets of image-text pairs: images (n, C, H, W) uint8, classes with names, and captions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from replication.data.dataset import Dataset


def rgb(images: Tensor) -> Tensor:
    """(B, 1 or 3, H, W) -> (B, 3, H, W)."""
    return images.expand(-1, 3, -1, -1)


@dataclass(frozen=True)
class Captioned:
    """Images (n, C, H, W) uint8; captions, each once; choices (n, c) int64: those of an image."""

    images: np.ndarray
    captions: tuple[str, ...]
    choices: np.ndarray

    @classmethod
    def of(cls, images: np.ndarray, texts: Sequence[Sequence[str]]) -> "Captioned":
        """texts: as many for each image."""
        captions = sorted({text for of_image in texts for text in of_image})
        index = {text: i for i, text in enumerate(captions)}
        return cls(images, tuple(captions), np.array([[index[t] for t in of] for of in texts]))


@dataclass(frozen=True, kw_only=True)
class PairDataset(Dataset):
    """Classes have names, and templates make prompts of them.

    captioned: what networks are pretrained on; None where they come pretrained.
    """

    class_names: tuple[str, ...]
    templates: tuple[str, ...]
    captioned: Captioned | None = None

    def prompts(self) -> list[list[str]]:
        """Of each class, one a template."""
        return [[t.replace("{}", name) for t in self.templates] for name in self.class_names]


def lacking(splits: dict[str, np.ndarray], classes: int) -> list[int]:
    """Classes that no split has an image of."""
    found = np.unique(np.concatenate([*splits.values()]))
    return [k for k in range(classes) if k not in found]


def as_tensor(images) -> Tensor:
    """Images as they are indexed: arrays as tensors, and what reads files as it is."""
    return torch.from_numpy(images) if isinstance(images, np.ndarray) else images
