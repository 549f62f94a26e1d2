"""Fine-tuning of image-text pairs: FLYP, LP-FT, and the pretrained network as it is.

Every one ends in the weights between the pretrained and the fine-tuned network; which of them is
`ensembled` is chosen on validation images of the distribution that was trained on.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from replication import refiners
from replication.cells import Score, Seed
from replication.data.dataset import Split
from replication.data.pairs import as_tensor
from replication.models.pairs import network as networks
from replication.models.pairs.network import Network
from replication.models.pairs.probe import Probe, linear_probe
from replication.models.pairs.weights import interpolate, load
from replication.refiners import contrastive_logits, soft_cross_entropy
from replication.settings import FineTuning
from replication.training import ranks
from replication.training.batches import Batch, Batches
from replication.training.diagnostics import Diagnostics
from replication.training.evaluation import classified
from replication.training.problems.supervised import Task, replay

STREAMS = ("order", "views", "validation", "refiner", "templates")
AT_ONCE = 256
"""Images that are classified together."""
STRENGTHS = (1.0, 10.0, 100.0, 1000.0)
"""Of linear probes, one of which is chosen on validation images."""
LARGEST = math.log(100)
"""Of the logarithm of the scale of similarities, as in CLIP."""
WEIGHTS = "model.safetensors"
"""The file of a pretrained network."""


@dataclass(frozen=True)
class PairTask(Task):
    """pretrained: the folder of the network that is fine-tuned."""

    pretrained: Path


class Tuned:
    """The problem of a task and a seed, of which subclasses say how they start, train and classify.

    start: the weights that fine-tuning starts from, at coefficient 0.
    """

    def __init__(self, task: PairTask, seed: int):
        self.task, self.training, self.device = task, task.recipe.training, task.device
        self.seed, self.dataset = seed, task.dataset
        torch.manual_seed(seed)
        self.network = pretrained(task)
        self.streams = {
            name: torch.Generator(self.device if name == "refiner" else "cpu").manual_seed(
                1000 * seed + i
            )
            for i, name in enumerate(STREAMS)
        }
        self.diagnostics = Diagnostics()
        self.model = self._model().to(self.device)
        self.start = {name: t.clone() for name, t in self.model.state_dict().items()}
        mixed = self.training.precision
        if mixed == "auto":
            mixed = "bfloat16" if self.device.type == "cuda" else "float32"
        self._autocast = partial(
            torch.autocast, self.device.type, torch.bfloat16, enabled=mixed == "bfloat16"
        )

    def _model(self) -> nn.Module:
        """What is trained."""
        raise NotImplementedError

    def _classifier(self) -> Callable[[Tensor], Tensor]:
        """From prepared images to logits over classes, of the weights as they are."""
        raise NotImplementedError

    @property
    def steered(self) -> bool:
        """Whether a refiner asks for validation images; else none are read."""
        return self.task.recipe.refiner.kind != "none"

    def _train_with(self, rate: float) -> None:
        """Optimiser, schedule and batches."""
        validation = self.dataset.validation
        self._batches = Batches(
            pool=self.task.pool,
            size=len(self.dataset.train),
            classes=self.dataset.classes,
            views=None,
            upstream=self.task.upstream,
            planted=self.task.recipe.upstream.planted > 0,
            validation=(
                as_tensor(validation.inputs) if self.steered else torch.empty(len(validation), 0),
                torch.from_numpy(validation.labels),
            ),
            folds=getattr(self.task.recipe.refiner, "folds", None),
            training=self.training,
            device=self.device,
            seed=self.seed,
            streams=self.streams,
            share=ranks.share,
        )
        steps = math.ceil(len(self.dataset.train) / self.training.batch_size)
        self.optimizer, self.schedule = optimised(
            self.model,
            rate,
            self.training.weight_decay,
            self.training.warmup,
            steps * self.training.epochs,
        )

    def batches(self, epoch: int) -> Iterator[Batch]:
        if ranks.count() > 1:  # what is drawn for the samples of each is its own
            for i, name in enumerate(("views", "refiner", "templates")):
                number = (self.seed * 10**4 + epoch) * 10**4 + 10 * ranks.rank() + i
                self.streams[name].manual_seed(number)
        return self._batches.epoch(epoch)

    def validation_score(self) -> float:
        return self.evaluate(self.dataset.validation)["macro_f1"]

    def scores(self) -> list[Score]:
        """Of the final weights, the ensembled ones, and all between, on every split.

        Of coefficients that do equally well in macro-F1 on validation the largest is chosen.
        """
        splits = {**self.dataset.tests, "validation": self.dataset.validation}
        end = {name: t.clone() for name, t in self.model.state_dict().items()}
        curve: dict[float, dict[str, dict[str, float]]] = {}
        for coefficient in self.training.coefficients:
            self.model.load_state_dict(interpolate(self.start, end, coefficient))
            curve[coefficient] = {name: self.evaluate(split) for name, split in splits.items()}
        self.model.load_state_dict(end)
        chosen = max(curve, key=lambda c: (curve[c]["validation"]["macro_f1"], c))
        return [*_scored("final", curve[1]), *_scored("ensembled", curve[chosen], chosen)] + [
            score for c, found in curve.items() for score in _scored("interpolated", found, c)
        ]

    def evaluate(self, split: Split) -> dict[str, float]:
        """accuracy, macro_f1 and loss on a split."""
        training = self.model.training
        self.model.eval()
        with torch.no_grad():
            logits, images = self._classifier(), as_tensor(split.inputs)
            parts = [
                logits(self._prepared(images[i])).float().softmax(1).cpu()
                for i in torch.arange(len(split)).split(AT_ONCE)
            ]
        self.model.train(training)
        probabilities = torch.cat(parts).double()
        return classified((probabilities / probabilities.sum(1, True)).numpy(), split.labels)

    def _prepared(self, images: Tensor) -> Tensor:
        return self.network.prepare(self.dataset.prepare(images.to(self.device)))


class FLYP(Tuned):
    """The contrastive loss on images and prompts of their classes, Eq. (13), or (14) if refined.

    A pair's target is its own prompt, which makes negatives of the batch's other pairs of its class
    as FLYP does; or, with same_class: shared, all of these alike.
    """

    def __init__(self, task: PairTask, seed: int):
        super().__init__(task, seed)
        prompts = self.dataset.prompts()
        tokens = self.network.tokens([p for of_class in prompts for p in of_class])
        self.tokens = tokens.unflatten(0, (len(prompts), -1)).to(self.device)
        self.shared = task.recipe.model.kind == "flyp" and task.recipe.model.same_class == "shared"
        if task.recipe.model.differentiable:
            self._train_with(task.recipe.model.learning_rate)
            self.refine = refiners.build(
                task.recipe.refiner, task.recipe.reading, self.model, self.optimizer,
                self.streams["refiner"], self.logits,
            )  # fmt: skip

    def _model(self) -> nn.Module:
        if self.training.gradient_checkpointing:
            self.network.model.set_grad_checkpointing()
        return self.network.model

    def loss(self, batch: Batch) -> Tensor:
        classes = batch.y_aug.argmax(1)
        pairs, targets = self._pairs(batch.x_aug, classes), self.targets(classes)
        with self._autocast():
            same_draws = replay(self.device)
            logits = self.logits(self.model, pairs)
            with same_draws():
                losses = self._validation(batch) if self.steered else []
                refined = self.refine(pairs, targets, losses, logits, batch)
            loss = in_both(logits, refined.labels, ranks.normalised(refined.weights))
            if self.task.clean:
                clean = self._plain(self._pairs(batch.x, batch.y), batch.y)
                loss = (loss + clean / ranks.count()) / 2
        if self.steered:
            self.diagnostics.add(refined, targets, targets.argmax(1))
        return loss

    def logits(self, model: nn.Module, pairs: tuple[Tensor, Tensor]) -> Tensor:
        """Images and tokens (b, ...) of this process -> logits (2b, B) against all of them."""
        images, texts = encode(model, *pairs, self.training.chunk)
        with torch.autocast(self.device.type, enabled=False):
            scale = model.logit_scale.float().exp()
            return contrastive_logits(images.float(), texts.float(), scale, ranks.gather)

    def targets(self, classes: Tensor) -> Tensor:
        """Classes (b,) of this process -> targets (b, B) over the pairs of all."""
        every = ranks.gather(classes)
        if self.shared:
            same = (classes[:, None] == every[None]).float()
            return same / same.sum(1, keepdim=True)
        own = torch.arange(len(classes), device=classes.device) + ranks.rank() * len(classes)
        return F.one_hot(own, len(every)).float()

    def _validation(self, batch: Batch) -> list:
        """The validation losses that the refiner differentiates, each of a batch of its own."""
        classes = batch.y_val.to(self.device)
        pairs = self._pairs(batch.x_val, classes, "validation")
        count = refiners.losses(self.task.recipe.reading)
        parts = zip(*(t.tensor_split(count) for t in (*pairs, classes)), strict=True)
        return [partial(self._plain, (images, texts), c) for images, texts, c in parts]

    def _plain(self, pairs: tuple[Tensor, Tensor], classes: Tensor) -> Tensor:
        """The contrastive loss with equal weights."""
        weights = torch.full((len(classes),), 1 / len(classes), device=self.device)
        return in_both(self.logits(self.model, pairs), self.targets(classes), weights)

    def _pairs(self, images: Tensor, classes: Tensor, stream="templates") -> tuple[Tensor, Tensor]:
        """Prepared images, and tokens of a prompt of each one's class by a template drawn."""
        templates = torch.randint(
            self.tokens.shape[1], (len(classes),), generator=self.streams[stream]
        )
        return self._prepared(images), self.tokens[classes, templates.to(classes.device)]

    def _classifier(self) -> Callable[[Tensor], Tensor]:
        """Similarity to the mean of a class's prompts, normalised before and after."""
        texts = F.normalize(self.model.encode_text(self.tokens.flatten(0, 1)).float(), dim=1)
        means = F.normalize(texts.unflatten(0, self.tokens.shape[:2]).mean(1), dim=1)
        scale = self.model.logit_scale.float().exp()

        def logits(images: Tensor) -> Tensor:
            return scale * F.normalize(self.model.encode_image(images).float(), dim=1) @ means.T

        return logits


class ZeroShot(FLYP):
    """The pretrained network, whose weights are those at every coefficient."""

    def train(self) -> Seed:
        splits = {**self.dataset.tests, "validation": self.dataset.validation}
        found = {name: self.evaluate(split) for name, split in splits.items()}
        return Seed(seed=self.seed, scores=[*_scored("final", found), *_scored("ensembled", found)])


class LPFT(Tuned):
    """Cross-entropy on image tower and classifier, which starts as a linear probe."""

    def __init__(self, task: PairTask, seed: int):
        super().__init__(task, seed)
        self._train_with(task.recipe.model.learning_rate)

    def _model(self) -> nn.Module:
        image = self.network.model.visual.to(self.device)
        if self.training.gradient_checkpointing:
            image.set_grad_checkpointing()
        train, validation = self.dataset.train, self.dataset.validation
        features, held_out = (self._features(image, s) for s in (train, validation))
        best, chosen = -math.inf, None
        for strength in STRENGTHS:
            head = linear_probe(features, train.labels, self.dataset.classes, strength)
            with torch.no_grad():
                p = head(torch.from_numpy(held_out)).double().softmax(1).numpy()
            found = classified(p, validation.labels)["macro_f1"]
            if found > best:
                best, chosen = found, head
        return Probe(image, chosen)

    def _features(self, image: nn.Module, split: Split) -> np.ndarray:
        """L2-normalised embeddings (n, d)."""
        image.eval()
        images = as_tensor(split.inputs)
        with torch.no_grad():
            parts = [
                F.normalize(image(self._prepared(images[i])).float(), dim=1).cpu()
                for i in torch.arange(len(split)).split(AT_ONCE)
            ]
        image.train()
        return torch.cat(parts).numpy()

    def loss(self, batch: Batch) -> Tensor:
        with self._autocast():
            logits = self.model(self._prepared(batch.x_aug))
            loss = F.cross_entropy(logits.float(), batch.y_aug.argmax(1))
            if self.task.clean:
                clean = self.model(self._prepared(batch.x)).float()
                loss = (loss + F.cross_entropy(clean, batch.y)) / 2
        return loss / ranks.count()

    def _classifier(self) -> Callable[[Tensor], Tensor]:
        return self.model


PROBLEMS = {"flyp": FLYP, "lp-ft": LPFT, "zero-shot": ZeroShot}


def in_both(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """The mean over directions of Eq. (14): logits (2b, B), labels (b, B), weights (b,) -> ()."""
    of_images, of_texts = logits.chunk(2)
    one, other = (soft_cross_entropy(z, labels, weights) for z in (of_images, of_texts))
    return (one + other) / 2


def encode(model: nn.Module, images: Tensor, texts: Tensor, chunk: int | None):
    """Embeddings (b, d) of both towers, not normalised.

    chunk: as many pairs at a time, of which a backward pass keeps no activations and computes them
    again (Gao et al. 2021, GradCache): memory is that of one chunk, the gradient that of the batch.
    """
    if chunk is None or chunk >= len(images):
        return model.encode_image(images), model.encode_text(texts)

    def one(x: Tensor, t: Tensor):
        return model.encode_image(x), model.encode_text(t)

    parts = [
        checkpoint(one, x, t, use_reentrant=False)
        for x, t in zip(images.split(chunk), texts.split(chunk), strict=True)
    ]
    return tuple(torch.cat(of) for of in zip(*parts, strict=True))


def optimised(model: nn.Module, rate: float, decay: float, warmup: int, steps: int):
    """AdamW without decay of biases, norms and the scale, and a warm-up before a cosine to 0.

    Gradients are those of all ranks, and the scale of similarities stays between 1 and 100.
    """
    named = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    groups = [
        {"params": [p for _, p in named if p.ndim >= 2], "weight_decay": decay},
        {"params": [p for _, p in named if p.ndim < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, rate, fused=True)

    def share(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        return (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup))) / 2

    ranks.sum_gradients(optimizer)
    if (scale := getattr(model, "logit_scale", None)) is not None:

        @torch.no_grad()
        def bound(*_) -> None:
            scale.clamp_(0, LARGEST)

        optimizer.register_step_post_hook(bound)
    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, share)


def pretrained(task: PairTask) -> Network:
    """The network that is fine-tuned; ValueError if chunks would meet batch norm."""
    found = networks.build(task.recipe.network)
    load(found.model, task.pretrained / WEIGHTS)
    training: FineTuning = task.recipe.training
    norms = any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in found.model.modules())
    if training.chunk and norms:
        raise ValueError("chunk: null is expected, batch norm is of the whole batch")
    return found


def problem(task: PairTask, seed: int) -> Tuned:
    return PROBLEMS[task.recipe.model.kind](task, seed)


def _scored(weights: str, found: dict, coefficient: float | None = None) -> list[Score]:
    return [
        Score(split=split, weights=weights, metric=metric, value=value, coefficient=coefficient)
        for split, metrics in found.items()
        for metric, value in metrics.items()
    ]
