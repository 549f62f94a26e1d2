"""Digits in styles, captioned: a miniature of what CLIP is pretrained on and fine-tuned to."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.v2 import functional

from replication.data.dataset import Split
from replication.data.images.archive import classes_of, read
from replication.data.pairs import Captioned, PairDataset, rgb
from replication.settings.datasets import StyledDigits

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def _thicken(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 3, 1, 1)


def _thin(x: Tensor) -> Tensor:
    return -F.max_pool2d(-x, 3, 1, 1)


STYLES: dict[str, Callable[[Tensor], Tensor]] = {
    "thin": _thin,
    "bold": _thicken,
    "outlined": lambda x: _thicken(x) - _thin(x),
    "slanted": lambda x: functional.affine(x, 0, [0, 0], 1, [25.0, 0.0]),
    "faint": lambda x: 0.35 * x,
    "inverted": lambda x: 255 - x,
}


def load(name: str, source: StyledDigits, folder: Path, seed: int = 0) -> PairDataset:
    """Splits of the 1,797 digits, no digit in two of them; those of `id` are in one style.

    Training has fewer of a class the larger its digit is. Images of `ood` are the test's digits,
    each in one of its styles. ValueError if there are fewer than pretraining + train + validation
    and one for each class and style.
    """
    path = folder / "digits.npz"
    images, labels = read(path, "images", "labels")
    labels = classes_of(path, "labels", labels)
    sizes = source.pretraining, source.train, source.validation
    least = len(NAMES) * len(source.ood)
    if sum(sizes) > len(labels) - least:
        raise ValueError(
            f"datasets.{name}: pretraining + train + validation <= {len(labels) - least} is "
            f"expected, got {' + '.join(map(str, sizes))}"
        )
    drawn = torch.from_numpy(images)[:, None].float()
    drawn = F.interpolate(drawn, size=(source.side, source.side), mode="bilinear").clamp(0, 255)

    def styled(i: np.ndarray, style: str) -> np.ndarray:
        return STYLES[style](drawn[torch.from_numpy(i)]).round().to(torch.uint8).numpy()

    order = np.random.default_rng(source.split_seed).permutation(len(labels))
    captioned, train, validation, test = np.split(order, np.cumsum(sizes))
    train = _imbalanced(train, labels, source.imbalance)
    texts = [
        [f"a photo of a {NAMES[labels[i]]}, {style}", *_plain(source, NAMES[labels[i]])]
        for style in STYLES
        for i in captioned
    ]
    parts = [test[i :: len(source.ood)] for i in range(len(source.ood))]
    shifted = np.concatenate([styled(p, s) for p, s in zip(parts, source.ood, strict=True)])
    return PairDataset(
        name=name,
        classes=len(NAMES),
        train=Split(styled(train, source.id), labels[train]),
        validation=Split(styled(validation, source.id), labels[validation]),
        tests={
            "id": Split(styled(test, source.id), labels[test]),
            "ood": Split(shifted, labels[np.concatenate(parts)]),
        },
        metric="macro_f1",
        prepare=rgb,
        class_names=NAMES,
        templates=tuple(source.templates),
        captioned=Captioned.of(np.concatenate([styled(captioned, s) for s in STYLES]), texts),
    )


def _plain(source: StyledDigits, digit: str) -> list[str]:
    """One prompt without a style, which those of a class have none of either."""
    return [source.templates[0].replace("{}", digit)]


def _imbalanced(i: np.ndarray, labels: np.ndarray, imbalance: float) -> np.ndarray:
    """Of class k the first imbalance^(-k / (K - 1)), rounded up."""
    ranks = np.linspace(0, 1, len(NAMES))
    members = [i[labels[i] == k] for k in range(len(NAMES))]
    return np.concatenate(
        [m[: int(np.ceil(len(m) * imbalance**-r))] for m, r in zip(members, ranks, strict=True)]
    )
