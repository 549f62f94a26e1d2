"""Training of a class-conditional diffusion model on the training images of a data set."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from replication.cells import Score
from replication.data.images import normalise
from replication.data.images.domains import DomainDataset
from replication.settings.generators import ClassConditional
from replication.training.diagnostics import Diagnostics
from replication.upstream.diffusion import unet


@dataclass(frozen=True)
class Noised:
    """Images (b, C, H, W) in [-1, 1], noise alike, times (b,) and conditions (b,)."""

    images: Tensor
    noise: Tensor
    times: Tensor
    conditions: Tensor


class Denoising:
    """The noise in images at times drawn evenly, by mean squared error (Ho et al. 2020, Eq. 14).

    In an epoch every image comes once in every domain. A share of the conditions is left out, so
    that the model can be guided.
    """

    def __init__(self, settings: ClassConditional, dataset: DomainDataset, device: torch.device):
        self.settings, self.device, training = settings, device, settings.training
        parts = [(d, dataset.domains[name]) for d, name in enumerate(settings.domains)]
        self.images = torch.cat([torch.from_numpy(split.inputs) for _, split in parts])
        self.conditions = torch.cat(
            [
                unet.condition(
                    settings, (y := torch.from_numpy(split.labels)), torch.full_like(y, d)
                )
                for d, split in parts
            ]
        )
        torch.manual_seed(training.seed)
        self.model = unet.build(settings, self.images.shape[1:], dataset.classes).to(device)
        self.none = self.model.config.num_class_embeds - 1
        self.scheduler = unet.schedule()
        self.count = math.ceil(len(self.images) / training.batch_size)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), training.learning_rate, weight_decay=0.0, fused=True
        )
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
            self.optimizer, self.count * training.epochs
        )
        self.streams = {"drawn": torch.Generator().manual_seed(training.seed)}
        self.diagnostics = Diagnostics()

    @property
    def learnt(self) -> nn.Module:
        """What is kept of it."""
        return self.model

    def batches(self, epoch: int) -> Iterator[Noised]:
        drawn, last = self.streams["drawn"], self.scheduler.config.num_train_timesteps
        order = torch.randperm(len(self.images), generator=drawn)
        for i in order.tensor_split(self.count):
            images, conditions = normalise(self.images[i]), self.conditions[i]
            out = torch.rand(len(i), generator=drawn) < self.settings.training.dropped
            parts = (
                images,
                torch.randn(images.shape, generator=drawn),
                torch.randint(last, (len(i),), generator=drawn),
                conditions.where(~out, self.none),
            )
            yield Noised(*(part.to(self.device) for part in parts))

    def loss(self, batch: Noised) -> Tensor:
        noised = self.scheduler.add_noise(batch.images, batch.noise, batch.times)
        found = self.model(noised, batch.times, batch.conditions).sample
        return F.mse_loss(found, batch.noise)

    def validation_score(self) -> float:
        raise NotImplementedError  # the last epoch is taken

    def scores(self) -> list[Score]:
        return []
