"""CutMix for tables: features of one row are replaced by those of another row of the batch."""

import torch
import torch.nn.functional as F
from scipy.special import betaincinv
from torch import Tensor

from replication.settings import upstreams


class TabularCutMix:
    """Tabular CutMix for supervised training, after Onishi and Meguro (arXiv 2305.10308).

    Each row is augmented with `probability`. An augmented row keeps floor(lambda * F) of its F
    features, drawn at random, and takes the others whole from one other row of the batch, so that
    no value arises that its column does not have. lambda ~ Beta(alpha, alpha), one draw per row
    (Onishi and Meguro: one per batch), or lambda = 1 - `share` if a share is given.

    labels: "hard", the row's own; or "mixed", u * y_i + (1 - u) * y_j with u the share of the
    features of row i that are unchanged, those that happen to be equal in both rows included.
    """

    def __init__(self, settings: upstreams.TabularCutMix, classes: int):
        self.settings, self.classes = settings, classes

    def __call__(
        self, inputs: Tensor, labels: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Inputs (B, F) and labels (B,) int64 to inputs (B, F) and labels (B, classes) float32.

        All randomness comes from `generator`, on its device; a batch of one row is unchanged.
        """
        batch, features = inputs.shape
        device = inputs.device
        draw = {"generator": generator, "device": generator.device}
        shift = torch.randint(1, max(batch, 2), (batch,), **draw).to(device)
        donor = (torch.arange(batch, device=device) + shift) % batch
        augmented = torch.rand(batch, **draw).to(device) < self.settings.probability
        kept = (features * self._kept_share(torch.rand(batch, **draw))).long().to(device)
        order = torch.rand(batch, features, **draw).to(device).argsort(1)
        swapped = augmented[:, None] & (order >= kept[:, None])
        unchanged = ~swapped | (inputs == inputs[donor])

        mixed = F.one_hot(labels, self.classes).float()
        if self.settings.labels == "mixed":
            weight = unchanged.float().mean(1, keepdim=True)
            mixed = weight * mixed + (1 - weight) * mixed[donor]
        return inputs.where(unchanged, inputs[donor]), mixed

    def _kept_share(self, quantile: Tensor) -> Tensor:
        """lambda (B,): the quantiles of Beta(alpha, alpha), or 1 - share for all rows."""
        share, alpha = self.settings.share, self.settings.alpha
        if share is None:
            return torch.as_tensor(betaincinv(alpha, alpha, quantile.double().cpu().numpy()))
        # 1 - 0.8 is just below 0.2, so that floor would lose a feature of every ten
        return torch.full(quantile.shape, 1 - share + 1e-9, dtype=torch.float64)
