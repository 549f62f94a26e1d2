"""The image tower with a linear classifier, as LP-FT trains it (Kumar et al. 2022)."""

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn


class Probe(nn.Module):
    """Logits (B, K) of a linear map of L2-normalised image embeddings (B, d)."""

    def __init__(self, image: nn.Module, head: nn.Linear):
        super().__init__()
        self.image, self.head = image, head

    def forward(self, images: Tensor) -> Tensor:
        return self.head(F.normalize(self.image(images), dim=1))


def linear_probe(features: np.ndarray, labels: np.ndarray, classes: int, strength: float):
    """Multinomial logistic regression on features (n, d): an nn.Linear; of penalty 1 / strength.

    Classes without a sample have the least of the others' biases, less 1.
    """
    found = LogisticRegression(C=strength, max_iter=2000).fit(features, labels)
    weight, bias = found.coef_, found.intercept_
    if len(found.classes_) == 2:  # one row, of the second class
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    head = nn.Linear(features.shape[1], classes)
    with torch.no_grad():
        head.weight.zero_()
        head.bias.fill_(float(bias.min()) - 1)
        head.weight[found.classes_] = torch.from_numpy(weight).float()
        head.bias[found.classes_] = torch.from_numpy(bias).float()
    return head
