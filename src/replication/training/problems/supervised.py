"""Classification of augmented samples, beside the clean ones or alone, refined before the loss."""

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from replication import models, refiners
from replication.cells import Score
from replication.data.dataset import Dataset, Split
from replication.refiners import soft_cross_entropy
from replication.settings import Recipe, Training
from replication.training.batches import Batch, Batches, Upstream, Views
from replication.training.diagnostics import Diagnostics
from replication.training.evaluation import evaluate
from replication.training.storage import Joined

STREAMS = ("order", "views", "validation", "refiner")


@dataclass(frozen=True)
class Task:
    """What a seed of a cell is trained with, on one device.

    views, upstream: see Batches. clean: the clean batch is trained on beside the augmented one.
    pool: what is trained on, (inputs, labels): the training split, and the validation split behind
        it for refiners that train on both, in the same number of steps.
    """

    dataset: Dataset
    pool: tuple[Tensor | Joined, Tensor]
    views: Views | None
    upstream: Upstream | None
    clean: bool
    recipe: Recipe
    device: torch.device


class Supervised:
    """The problem of a task and a seed, which draws the initialisation of the network."""

    def __init__(self, task: Task, seed: int):
        self.task, training, device = task, task.recipe.training, task.device
        torch.manual_seed(seed)
        self.model = models.build(task.recipe.model, task.dataset).to(device)
        if training.channels_last and not _out_of_bounds(self.model, device):
            self.model = self.model.to(memory_format=torch.channels_last)
        if training.compile:
            self.model.compile()
        steps = math.ceil(len(task.dataset.train) / training.batch_size)  # of an epoch
        self.optimizer, self.schedule = optimised(
            self.model, task.recipe.model.learning_rate, training, steps
        )
        self.class_weights = None
        if training.transfer and training.transfer.class_weights:
            self.class_weights = balanced(task.dataset).to(device)
        self.streams = {
            name: torch.Generator(device if name == "refiner" else "cpu").manual_seed(
                1000 * seed + i
            )
            for i, name in enumerate(STREAMS)
        }
        self.refine = refiners.build(
            task.recipe.refiner, task.recipe.reading, self.model, self.optimizer,
            self.streams["refiner"],
        )  # fmt: skip
        self.diagnostics = Diagnostics()
        self._autocast = partial(torch.autocast, device.type, torch.bfloat16, enabled=_mixed(task))
        upstream = task.upstream
        if hasattr(upstream, "against"):
            upstream = upstream.against(self._representations)
        validation = task.dataset.validation
        self._batches = Batches(
            pool=task.pool,
            size=len(task.dataset.train),
            classes=task.dataset.classes,
            views=task.views,
            upstream=upstream,
            planted=task.recipe.upstream.planted > 0,
            folds=getattr(task.recipe.refiner, "folds", None),
            validation=tuple(
                torch.from_numpy(part).to(device) for part in (validation.inputs, validation.labels)
            ),
            training=training,
            device=device,
            seed=seed,
            streams=self.streams,
        )

    def batches(self, epoch: int) -> Iterator[Batch]:
        return self._batches.epoch(epoch)

    def loss(self, batch: Batch) -> Tensor:
        prepare, model = self.task.dataset.prepare, self.model
        x_aug, validation = prepare(batch.x_aug), (prepare(batch.x_val), batch.y_val)
        with self._autocast():
            same_draws = replay(self.task.device)
            logits = model(x_aug)
            with same_draws():
                refined = self.refine(x_aug, batch.y_aug, validation, logits, batch)
            weights = refined.weights
            if self.class_weights is not None:
                weights = weights * (refined.labels @ self.class_weights)
                weights = weights / weights.sum().clamp_min(1e-30)
            loss = soft_cross_entropy(logits, refined.labels, weights)
            if self.task.clean:
                clean = F.cross_entropy(model(prepare(batch.x)), batch.y, self.class_weights)
                loss = (loss + clean) / 2
        if self.task.recipe.refiner.kind != "none":
            self.diagnostics.add(refined, batch.y_aug, batch.shown)
        return loss

    def validation_score(self) -> float:
        return self._evaluate(self.task.dataset.validation)["auroc"]

    def scores(self) -> list[Score]:
        dataset = self.task.dataset
        splits = {**dataset.tests, "validation": dataset.validation}
        return [
            Score(split=name, weights="final", metric=metric, value=value)
            for name, split in splits.items()
            for metric, value in self._evaluate(split).items()
        ]

    def _evaluate(self, split: Split) -> dict[str, float]:
        return evaluate(self.model, split, self.task.dataset.prepare)

    def _representations(self, inputs: Tensor) -> list[Tensor]:
        """The network's layers and logits in evaluation mode, where each sample stands for itself
        and batch-norm statistics and the random state stay as they are."""
        self.model.eval()
        representations = self.model.representations(self.task.dataset.prepare(inputs))
        self.model.train()
        return representations


def optimised(model: nn.Module, rate: float, training: Training, steps: int):
    """AdamW and a rate that drops, or what the recipe of a pretrained network says. steps: of an
    epoch."""
    transfer, decay = training.transfer, training.weight_decay
    if transfer is not None and transfer.optimizer == "sgd":
        optimizer = torch.optim.SGD(
            model.parameters(), rate, momentum=transfer.momentum, weight_decay=decay
        )
    else:
        optimizer = torch.optim.AdamW(model.parameters(), rate, weight_decay=decay, fused=True)
    if transfer is not None and transfer.cosine:
        whole = steps * training.epochs
        return optimizer, torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, whole)
    drops = [steps * math.ceil(share * training.epochs) for share in training.drops]
    return optimizer, torch.optim.lr_scheduler.MultiStepLR(optimizer, drops, gamma=0.1)


def balanced(dataset: Dataset) -> Tensor:
    """Weights of classes (K,), inverse to their share of the training split; 1 if all are alike."""
    counts = torch.bincount(torch.from_numpy(dataset.train.labels), minlength=dataset.classes)
    return len(dataset.train) / (dataset.classes * counts.clamp_min(1))


def replay(device: torch.device) -> Callable[[], AbstractContextManager]:
    """A context that draws the random numbers from here on once more.

    So the refiner looks at the very network, dropout masks and all, that the training pass used.
    """
    cpu = torch.get_rng_state()
    cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None

    @contextmanager
    def again() -> Iterator[None]:
        with torch.random.fork_rng([device] if cuda is not None else []):
            torch.set_rng_state(cpu)
            if cuda is not None:
                torch.cuda.set_rng_state(cuda, device)
            yield

    return again


def _out_of_bounds(model: nn.Module, device: torch.device) -> bool:
    """Whether torch 2.15's channels-last convolutions would write beyond their memory.

    They do on a CPU with several threads where there are fewer than 16 channels.
    """
    convolutions = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    narrow = any(m.out_channels < 16 for m in convolutions)
    return device.type == "cpu" and torch.get_num_threads() > 1 and narrow


def _mixed(task: Task) -> bool:
    """Whether the training passes run in bfloat16; their weights and optimiser stay in float32."""
    if task.recipe.training.precision != "auto":
        return task.recipe.training.precision == "bfloat16"
    images = task.recipe.dataset.takes == "images"
    return (
        images
        and task.device.type == "cuda"
        and torch.cuda.is_bf16_supported(including_emulation=False)
    )
