"""What made images show, and which of them pass ALIA's filters (Dunlap et al. 2023)."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from replication.data.dataset import Split
from replication.data.pairs import rgb
from replication.training.evaluation import Prepare, predict

BATCH = 256
"""Images that are compared with prompts together."""


def thresholds(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Of confident learning (Northcutt et al. 2021): of each class the mean probability of it over
    the images labelled so. (n, K), (n,) -> (K,)."""
    classes = probabilities.shape[1]
    own = [probabilities[labels == k, k] for k in range(classes)]
    return np.array([p.mean() if len(p) else 1.0 for p in own])


def confident(probabilities: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Whether the likeliest class is likelier than its threshold: too easy an image if it is its
    label, a wrong one if it is not, and left out in either case. (n, K), (K,) -> (n,) bool."""
    found = probabilities.argmax(1)
    return probabilities[np.arange(len(found)), found] > limits[found]


@torch.no_grad()
def on_topic(network, images: Tensor, wanted: Sequence[str], others: Sequence[str]) -> np.ndarray:
    """Whether images (n, C, H, W) uint8 are closest to one of the prompts that are wanted: (n,).

    network: of models.pairs.
    """
    model, device = network.model.eval(), next(network.model.parameters()).device
    texts = F.normalize(model.encode_text(network.tokens([*wanted, *others]).to(device)), dim=1)
    closest = [
        (F.normalize(model.encode_image(network.prepare(rgb(x.to(device)))), dim=1) @ texts.T)
        .argmax(1)
        .cpu()
        for x in images.split(BATCH)
    ]
    return (torch.cat(closest) < len(wanted)).numpy()


class Judges:
    """everything: a classifier of all data. train: of training data, whose thresholds are taken on
    `split`, which it has not seen. on_topic: of images, by prompts, if they are filtered so."""

    def __init__(
        self,
        everything: nn.Module,
        train: nn.Module,
        split: Split,
        prepare: Prepare,
        on_topic: Callable[[Tensor], np.ndarray] | None = None,
    ):
        self.everything, self.train, self.prepare = everything, train, prepare
        self.on_topic = on_topic
        inputs = torch.as_tensor(split.inputs)
        self.limits = thresholds(predict(train, inputs, prepare), split.labels)

    def shown(self, images: np.ndarray) -> np.ndarray:
        """The classes of images (n, C, H, W) uint8: (n,) int64."""
        return predict(self.everything, torch.from_numpy(images), self.prepare).argmax(1)

    def kept(self, images: np.ndarray) -> np.ndarray:
        """Whether images pass the filters: (n,) bool."""
        inputs = torch.from_numpy(images)
        found = ~confident(predict(self.train, inputs, self.prepare), self.limits)
        return found if self.on_topic is None else found & self.on_topic(inputs)
