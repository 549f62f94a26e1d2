"""A reading of SAFLEX for image-text pairs, Eq. (14) in both directions of Eq. (13)."""

from collections.abc import Callable, Sequence

from torch import Tensor

from saflex import SAFLEX, Refined


class Pairs:
    """One weight and one soft label for each pair, which both directions of the loss share.

    A step on sum_i w_i y_i . (-log p_i(text | image) - log p_i(image | text)) / 2 lowers the
    validation loss by w_i y_i . (Pi_i + Pi'_i) / 2 for pair i, to first order: both terms are
    linear in w_i and y_i, so the programme of Theorem 1 has the mean of Pi over directions.
    """

    def __init__(self, saflex: SAFLEX):
        self.saflex = saflex

    def __call__(self, pairs, labels: Tensor, *, val: Sequence[Callable], logits) -> Refined:
        """pairs: what the model takes; labels (b, B); val: losses; logits (2b, B), in training."""
        pi, reliability = self.saflex.measure(pairs, labels.repeat(2, 1), val, logits=logits)
        return self.solve(pi.unflatten(0, (2, -1)).mean(0), labels, reliability)

    def solve(self, pi: Tensor, labels: Tensor, reliability: Tensor) -> Refined:
        return self.saflex.solve(pi, labels, reliability)
