"""The batches of an epoch: clean, augmented and validation samples."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from replication.settings import Training
from replication.training.storage import Joined

Upstream = Callable[[Tensor, Tensor, torch.Generator], tuple[Tensor, Tensor]]
Pairs = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Views:
    """Stored augmentations: inputs (V, n, ...), soft labels (V, n, K), and for crops the visible
    fraction of the image (V, n). Of images that a diffusion model made, the class that each shows,
    as far as is known, and whether it passes the filters (V, n)."""

    inputs: Tensor | Joined
    labels: Tensor | Joined
    visible: Tensor | Joined | None = None
    shown: Tensor | Joined | None = None
    kept: Tensor | Joined | None = None


@dataclass(frozen=True)
class Batch:
    """x, y: clean samples and their classes. x_aug, y_aug (B, K): made from them by the upstream.
    x_val, y_val: of the validation split. shown (B,): the class that x_aug shows, y unless it is
    known better. visible, kept (B,): see Views."""

    x: Tensor
    y: Tensor
    x_aug: Tensor
    y_aug: Tensor
    x_val: Tensor
    y_val: Tensor
    shown: Tensor
    visible: Tensor | None = None
    kept: Tensor | None = None


@dataclass(frozen=True)
class Batches:
    """Batches of nearly equal size, each with the samples' next view.

    pool: `size` training samples, then validation samples where these are trained on too. An epoch
    takes `size` of it. views, upstream: augmentations stored beforehand or drawn in each step; both
    None where the samples themselves are trained on. planted: they plant wrong labels, in training
    samples alone: others keep theirs. folds: of the pool's validation samples, that take turns, an
    epoch each, as validation data in place of all of them, and are not trained on then. share: of
    the indices of a batch, those that this process takes, of several that train together.
    The order of samples and views depends on the seed alone, so that methods are paired.
    """

    pool: tuple[Tensor | Joined, Tensor]
    size: int
    classes: int
    views: Views | None
    upstream: Upstream | None
    planted: bool
    validation: Pairs
    folds: int | None
    training: Training
    device: torch.device
    seed: int
    streams: dict[str, torch.Generator]
    share: Callable[[Tensor], Tensor] = lambda i: i

    def epoch(self, epoch: int) -> Iterator[Batch]:
        (inputs, labels), count = self.pool, math.ceil(self.size / self.training.batch_size)
        members, validation = self._roles(epoch)
        order = torch.randperm(len(members), generator=self.streams["order"])[: self.size]
        for i in map(self.share, members[order].to(inputs.device).tensor_split(count)):
            x, y = inputs[i].to(self.device), labels[i].to(self.device)
            x_aug, y_aug, known = self._augmented(i, x, y, epoch)
            j = validation_batch(validation[1], self.training, self.streams["validation"])
            j = self.share(j)
            known = {"shown": y} | known
            yield Batch(x, y, x_aug, y_aug, *(part[j] for part in validation), **known)

    def _roles(self, epoch: int) -> tuple[Tensor, Pairs]:
        """Those of the pool that are trained on in an epoch, and the validation data."""
        everything = torch.arange(len(self.pool[1]))
        if self.folds is None:
            return everything, self.validation
        generator = torch.Generator().manual_seed(self.seed)
        dealt = torch.randperm(len(everything) - self.size, generator=generator) % self.folds
        held = torch.cat([torch.full((self.size,), -1), dealt]) == epoch % self.folds
        fold = everything[held]
        return everything[~held], tuple(p[fold.to(p.device)].to(self.device) for p in self.pool)

    def _augmented(self, i: Tensor, x: Tensor, y: Tensor, epoch: int):
        known = {}
        if hasattr(self.upstream, "augment"):
            x_aug, known["visible"] = self.upstream.augment(x, self.streams["views"])
            y_aug = F.one_hot(y, self.classes).float()
        elif self.upstream is not None:
            x_aug, y_aug = self.upstream(x, y, self.streams["views"])
        elif self.views is None:
            x_aug, y_aug = x, F.one_hot(y, self.classes).float()
        else:
            i = i.to(self.views.inputs.device)
            view = (epoch + self.seed + i) % len(self.views.inputs)
            x_aug = self.views.inputs[view, i].to(self.device)
            y_aug = self.views.labels[view, i].to(self.device)
            for field in ("visible", "shown", "kept"):
                if (stored := getattr(self.views, field)) is not None:
                    known[field] = stored[view, i].to(self.device)
        if self.planted:
            own = F.one_hot(y, self.classes).to(y_aug)
            y_aug = torch.where((i >= self.size)[:, None].to(self.device), own, y_aug)
        return x_aug, y_aug, known


def validation_batch(labels: Tensor, recipe: Training, generator: torch.Generator) -> Tensor:
    """Indices of the samples whose loss is differentiated, in random order.

    uniform: drawn without replacement. stratified: each class by its share, rounded up to two at
    least, and balanced: as many of each class, drawn again where it has too few; with both, the
    gradient of a skewed set is not one of its commonest class alone. Nor is that of either half:
    both have every class, and no sample in common but one that is alone in its class.
    """
    n = len(labels)
    size = n if recipe.validation_batch == "all" else min(n, recipe.validation_batch)
    order = torch.randperm(n, generator=generator).to(labels.device)
    if recipe.validation_sampling == "uniform":
        return order[:size]
    members = [order[labels[order] == k] for k in labels.unique()]
    stratified = recipe.validation_sampling == "stratified"
    halves, larger = ([], []), 0
    for m in members:
        part = max(2, -(-size * len(m) // n) if stratified else -(-size // len(members)))
        for h, half in enumerate(halves):
            own = m[int(h != larger) :: 2] if len(m) > 1 else m
            count = (part + (h == larger)) // 2
            half.append(own.repeat(-(-count // len(own)))[:count])
        larger = (larger + part) % 2
    halves = [torch.cat(half) for half in halves]
    shuffled = [h[torch.randperm(len(h), generator=generator).to(h.device)] for h in halves]
    return torch.cat(shuffled)
