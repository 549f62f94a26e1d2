"""Contrastive pretraining of two towers on captioned images, which every method starts from."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from replication.cells import Score
from replication.data.pairs import Captioned, as_tensor, rgb
from replication.models.pairs.network import Network
from replication.refiners import contrastive_logits
from replication.settings.networks import Pretraining as Settings
from replication.training.diagnostics import Diagnostics
from replication.training.problems.contrastive import in_both, optimised


@dataclass(frozen=True)
class Pairs:
    """images (b, 3, H, W) uint8 and tokens (b, context) of their captions."""

    images: Tensor
    tokens: Tensor


class Pretraining:
    """Eq. (13) on images, each in every epoch with one of its captions, drawn."""

    def __init__(
        self, network: Network, captioned: Captioned, settings: Settings, device: torch.device
    ):
        self.network, self.captioned, self.settings = network, captioned, settings
        self.device, self.model = device, network.model.to(device)
        self.tokens = network.tokens(captioned.captions)
        self.streams = {"order": torch.Generator().manual_seed(settings.seed)}
        self.diagnostics = Diagnostics()
        self.count = math.ceil(len(captioned.images) / settings.batch_size)
        self.optimizer, self.schedule = optimised(
            self.model,
            settings.learning_rate,
            settings.weight_decay,
            settings.warmup,
            self.count * settings.epochs,
        )

    def batches(self, epoch: int) -> Iterator[Pairs]:
        images, choices = as_tensor(self.captioned.images), torch.from_numpy(self.captioned.choices)
        order = torch.randperm(len(images), generator=self.streams["order"])
        for i in order.tensor_split(self.count):
            drawn = torch.randint(choices.shape[1], i.shape, generator=self.streams["order"])
            pairs = Pairs(rgb(images[i]), self.tokens[choices[i, drawn]])
            yield Pairs(pairs.images.to(self.device), pairs.tokens.to(self.device))

    def loss(self, batch: Pairs) -> Tensor:
        images = self.model.encode_image(self.network.prepare(batch.images))
        texts = self.model.encode_text(batch.tokens)
        logits = contrastive_logits(images, texts, self.model.logit_scale.exp())
        b = len(images)
        weights = torch.full((b,), 1 / b, device=self.device)
        return in_both(logits, torch.eye(b, device=self.device), weights)

    def validation_score(self) -> float:
        raise NotImplementedError  # the last epoch is taken

    def scores(self) -> list[Score]:
        return []
