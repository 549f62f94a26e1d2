"""A tiny network and data set of image-text pairs."""

import numpy as np
import torch

from replication import settings
from replication.data.dataset import Split
from replication.data.pairs import Captioned, PairDataset, rgb
from replication.models.pairs import network as networks
from replication.models.pairs.weights import save
from replication.settings import FineTuning, Recipe, models, upstreams
from replication.settings.networks import TwoTowers
from replication.settings.refiners import Alone
from replication.training.problems import contrastive
from replication.training.problems.contrastive import PairTask

NAMES = ("cat", "dog", "bird")
NETWORK = TwoTowers(
    kind="two-towers", image="test_vit.r160_in1k", image_size=160, embed_dim=8, context=12,
    text_width=8, text_heads=2, text_layers=1,
    pretraining={"epochs": 1, "batch_size": 6, "learning_rate": 1e-3, "weight_decay": 0.0,
                 "warmup": 1, "seed": 0},
)  # fmt: skip
SMALL = NETWORK.model_copy(update={"image": "test_convnext.r160_in1k", "image_size": 32})
NONE = Alone(kind="none", role="baseline")
TRAINING = FineTuning(
    epochs=2, batch_size=6, validation_batch=6, validation_sampling="uniform", weight_decay=0.1,
    device="cpu", warmup=1, coefficients=[0.0, 0.5, 1.0],
)  # fmt: skip


def dataset(n=12, side=32, seed=0, names=NAMES):
    """Bright, dark and striped images of three classes, in order, noisy."""
    random = np.random.default_rng(seed)
    labels = np.arange(n) % len(names)
    base = np.stack([np.full((side, side), 200), np.full((side, side), 50), np.zeros((side, side))])
    base[2, ::2] = 255
    images = base[labels % 3][:, None] + random.normal(0, 20, (n, 1, side, side))
    images = images.clip(0, 255).astype(np.uint8)
    split = Split(images, labels)
    return PairDataset(
        name="made", classes=len(names), train=split, validation=split,
        tests={"id": split, "ood": Split(255 - images, labels)}, metric="macro_f1", prepare=rgb,
        class_names=tuple(names), templates=("a photo of a {}", "a {}"),
        captioned=Captioned.of(images, [[f"a {names[k]}", f"one {names[k]}"] for k in labels]),
    )  # fmt: skip


def recipe(kind="flyp", refiner=NONE, reading=None, network=SMALL, **training):
    options = {} if kind == "zero-shot" else {"learning_rate": 1e-3}
    options |= {"same_class": training.pop("same_class")} if "same_class" in training else {}
    model = {"flyp": models.FLYP, "lp-ft": models.LPFT, "zero-shot": models.ZeroShot}[kind]
    return Recipe(
        dataset=settings.load("quick").datasets["digits-styles"],
        model=model(kind=kind, network="made", **options),
        network=network,
        upstream=upstreams.Identity(kind="none"),
        refiner=refiner,
        reading=reading,
        training=TRAINING.model_copy(update=training),
        views=0,
    )


def task(folder, recipe, data=None, clean=False, upstream=None):
    """A task whose pretrained network has random weights, the same each time."""
    data = data or dataset()
    torch.manual_seed(1)
    if not (folder / contrastive.WEIGHTS).exists():
        save(networks.build(recipe.network).model, folder / contrastive.WEIGHTS)
    pool = torch.from_numpy(data.train.inputs), torch.from_numpy(data.train.labels)
    return PairTask(data, pool, None, upstream, clean, recipe, torch.device("cpu"), folder)


def problem(folder, recipe, seed=0, **options):
    made = contrastive.problem(task(folder, recipe, **options), seed)
    made.model.train()
    return made
