"""The supervised training loop: clean, augmented and validation batches, a refiner, one loss."""

import copy
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from replication import models, refiners
from replication.data.dataset import Dataset
from replication.refiners.controls import entropy
from replication.settings import Model, Refiner, Training
from replication.training.checkpoints import Checkpoints
from replication.training.evaluation import predict, score
from replication.training.storage import Joined
from saflex import Refined, soft_cross_entropy

SAVE_EVERY = 30.0  # seconds between checkpoints of a seed in progress
STREAMS = ("order", "views", "validation", "refiner")


Upstream = Callable[[Tensor, Tensor, torch.Generator], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Views:
    """Stored augmentations: inputs (V, n, ...), soft labels (V, n, K), and for crops the visible
    fraction of the image (V, n)."""

    inputs: Tensor | Joined
    labels: Tensor | Joined
    visible: Tensor | Joined | None = None


@dataclass(frozen=True)
class Task:
    """One seed's training problem on one device.

    views, upstream: augmentations stored beforehand or drawn in each step; both None where the
        clean samples themselves are trained on.
    pool: what is trained on, (inputs, labels); larger than the training split for the control that
        trains on validation samples too, in the same number of steps.
    prepare: from stored inputs to what the model takes.
    """

    dataset: Dataset
    pool: tuple[Tensor | Joined, Tensor]
    views: Views | None
    upstream: Upstream | None
    clean: bool
    model: Model
    refiner: Refiner
    training: Training
    device: torch.device
    prepare: Callable[[Tensor], Tensor]


def train(task: Task, seed: int, checkpoints: Checkpoints, tick: Callable[[], None]) -> dict:
    """Train one seed, resuming where an interrupted run left off; returns its metrics.

    FloatingPointError, naming the epoch, if the loss is not finite.
    """
    recipe, device = task.training, task.device
    cuda = device.type == "cuda"
    torch.manual_seed(seed)
    model = models.build(task.model, task.dataset).to(device)
    if recipe.channels_last:
        model = model.to(memory_format=torch.channels_last)
    if recipe.compile:
        model.compile()
    autocast = partial(torch.autocast, device.type, torch.bfloat16, enabled=_mixed(task))
    optimizer = torch.optim.AdamW(
        model.parameters(), task.model.learning_rate, weight_decay=recipe.weight_decay, fused=True
    )
    drops = [math.ceil(share * recipe.epochs) for share in recipe.drops]
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, drops, gamma=0.1)
    streams = {
        name: torch.Generator(device if name == "refiner" else "cpu").manual_seed(1000 * seed + i)
        for i, name in enumerate(STREAMS)
    }
    refiner = refiners.build(task.refiner, model, optimizer, streams["refiner"])
    core = getattr(refiner, "saflex", None)
    diagnostics = Diagnostics()
    best, first = {"score": -math.inf, "epoch": 0, "model": None}, 0
    validation = _on(device, task.dataset.validation)
    select_best = recipe.select == "best" and not task.refiner.train_on_validation
    if hasattr(task.upstream, "against"):
        task = replace(task, upstream=task.upstream.against(_representations(model, task.prepare)))

    if state := checkpoints.restore(seed):
        if core is not None:
            core.load_state_dict(state["saflex"])
        first, best = state["epoch"], state["best"]
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        diagnostics.sums = state["diagnostics"]
        for name, generator in streams.items():
            generator.set_state(state["streams"][name])
        torch.set_rng_state(state["random"])
        if cuda:
            torch.cuda.set_rng_state(state["random_cuda"], device)
        for _ in range(first):
            tick()

    saved = time.monotonic()
    model.train()
    for epoch in range(first, recipe.epochs):
        total = torch.zeros((), device=device)
        for batch in _batches(task, validation, epoch, seed, streams):
            x_aug, validation_batch = task.prepare(batch.x_aug), batch.validation(task)
            with autocast():
                refined = refiner(x_aug, batch.y_aug, validation_batch, batch.visible)
                loss = soft_cross_entropy(refined.logits, refined.labels, refined.weights)
                if task.clean:
                    loss = (loss + F.cross_entropy(model(task.prepare(batch.x)), batch.y)) / 2
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.detach()
            if task.refiner.kind != "none":
                diagnostics.add(refined, batch.y_aug, batch.y)
        schedule.step()
        if not torch.isfinite(total):
            raise FloatingPointError(
                f"seed {seed}, epoch {epoch + 1}: the training loss is not finite; "
                "lower learning_rate or the refiner's beta"
            )
        if select_best:
            now = score(predict(model, validation[0], task.prepare), validation[1].cpu().numpy())
            if now["auroc"] > best["score"]:
                weights = copy.deepcopy(model.state_dict())
                best = {"score": now["auroc"], "epoch": epoch + 1, "model": weights}
            if recipe.patience and epoch + 1 - best["epoch"] >= recipe.patience:
                for _ in range(epoch, recipe.epochs):
                    tick()
                break
        if time.monotonic() - saved > SAVE_EVERY and epoch + 1 < recipe.epochs:
            checkpoints.save(
                seed,
                {
                    "epoch": epoch + 1,
                    "best": best,
                    "model": model.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "schedule": schedule.state_dict(),
                    "saflex": core and core.state_dict(),
                    "diagnostics": diagnostics.sums,
                    "streams": {name: g.get_state() for name, g in streams.items()},
                    "random": torch.get_rng_state(),
                    "random_cuda": torch.cuda.get_rng_state(device) if cuda else None,
                },
            )
            saved = time.monotonic()
        tick()

    if best["model"] is not None:
        model.load_state_dict(best["model"])
    result = {"seed": seed, "epoch": best["epoch"] or recipe.epochs}
    for prefix, split in (("", task.dataset.test), ("validation_", task.dataset.validation)):
        inputs = torch.from_numpy(split.inputs)
        scores = score(predict(model, inputs, task.prepare), split.labels)
        result |= {f"{prefix}{name}": value for name, value in scores.items()}
    if task.refiner.kind != "none":
        result["refiner"] = diagnostics.means()
    checkpoints.finish(seed, result)
    return result


def _mixed(task: Task) -> bool:
    """Whether the training passes run in bfloat16; their weights and optimiser stay in float32."""
    if task.training.precision != "auto":
        return task.training.precision == "bfloat16"
    images = len(task.dataset.train.inputs.shape) == 4
    return (
        images
        and task.device.type == "cuda"
        and torch.cuda.is_bf16_supported(including_emulation=False)
    )


def _representations(model, prepare) -> Callable[[Tensor], list[Tensor]]:
    """The network's layers and logits in evaluation mode, where each sample stands for itself and
    batch-norm statistics and the random state stay as they are."""

    def forward(inputs: Tensor) -> list[Tensor]:
        model.eval()
        representations = model.representations(prepare(inputs))
        model.train()
        return representations

    return forward


@dataclass(frozen=True)
class Batch:
    x: Tensor
    y: Tensor
    x_aug: Tensor
    y_aug: Tensor
    x_val: Tensor
    y_val: Tensor
    visible: Tensor | None

    def validation(self, task: Task) -> tuple[Tensor, Tensor]:
        return task.prepare(self.x_val), self.y_val


def _batches(task: Task, validation, epoch: int, seed: int, streams) -> Iterator[Batch]:
    """One epoch: batches of nearly equal size, each with the samples' next view.

    The order of samples and views depends on the seed alone, so that methods are paired.
    """
    (inputs, labels), recipe = task.pool, task.training
    train = len(task.dataset.train)
    order = torch.randperm(len(labels), generator=streams["order"])[:train].to(inputs.device)
    for i in order.tensor_split(math.ceil(train / recipe.batch_size)):
        visible = None
        x, y = inputs[i].to(task.device), labels[i].to(task.device)
        if hasattr(task.upstream, "augment"):
            x_aug, visible = task.upstream.augment(x, streams["views"])
            y_aug = F.one_hot(y, task.dataset.classes).float()
        elif task.upstream is not None:
            x_aug, y_aug = task.upstream(x, y, streams["views"])
        elif task.views is None:
            x_aug, y_aug = x, F.one_hot(y, task.dataset.classes).float()
        else:
            i = i.to(task.views.inputs.device)
            view = (epoch + seed + i) % len(task.views.inputs)
            x_aug = task.views.inputs[view, i].to(task.device)
            y_aug = task.views.labels[view, i].to(task.device)
            if task.views.visible is not None:
                visible = task.views.visible[view, i].to(task.device)
        j = _validation_batch(validation[1], recipe, streams["validation"])
        yield Batch(x, y, x_aug, y_aug, validation[0][j], validation[1][j], visible)


def _validation_batch(labels: Tensor, recipe: Training, generator: torch.Generator) -> Tensor:
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


class Diagnostics:
    """Means over all training steps of what the refiner did."""

    def __init__(self):
        self.sums: dict[str, Tensor] = {}

    def add(self, refined: Refined, y_aug: Tensor, y: Tensor) -> None:
        """y (B,) int64: the classes of the samples that were augmented."""
        weights, labels, pi = refined.weights, refined.labels, refined.inner_products
        other = (y_aug.argmax(1) != y).float()
        step = {
            "kept": weights.sum().square()
            / (len(weights) * weights.square().sum()).clamp_min(1e-30),
            "relabelled": (labels.argmax(1) != y_aug.argmax(1)).float().mean(),
            "agreement": (pi.argmax(1) == y_aug.argmax(1)).float().mean(),
            "mean_abs_pi": pi.abs().mean(),
            "reliability": refined.reliability,
            "entropy": entropy(labels).mean(),
            "other": other.mean(),
            "other_weight": (weights * other).sum(),
            "steps": torch.ones((), device=pi.device),
        }
        for name, value in step.items():
            self.sums[name] = self.sums.get(name, 0) + value.detach().double()

    def means(self) -> dict[str, float]:
        steps = self.sums["steps"]
        return {n: float(s / steps) for n, s in self.sums.items() if n != "steps"}


def _on(device: torch.device, split) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(split.inputs).to(device), torch.from_numpy(split.labels).to(device)
