"""The loop: deterministic, resumable to the last digit, paired, and it says what went wrong."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from replication.data.dataset import Dataset, Split
from replication.settings import Refiner, ResNet, Saflex, Training, load
from replication.training import supervised
from replication.training.cell import images
from replication.training.checkpoints import Checkpoints
from replication.training.supervised import Task, Views, train
from saflex import Refined

RECIPE = Training(
    epochs=4,
    batch_size=10,
    validation_batch=8,
    validation_sampling="uniform",
    weight_decay=0.0,
    drops=[0.5],
    select="last",
    patience=None,
    device="cpu",
    jobs=1,
    threads=1,
)
PROFILE = load(Path(__file__).parents[2] / "params.yaml")
SAFLEX = Refiner(kind="saflex", saflex=Saflex(space="probs"))


def dataset(seed=0, side=8):
    random = np.random.default_rng(seed)

    def split(n):
        labels = random.integers(0, 2, n)
        pixels = random.integers(0, 120, (n, 1, side, side)) + 100 * labels[:, None, None, None]
        return Split(pixels.astype(np.uint8), labels)

    return Dataset("squares", 2, split(23), split(12), split(40))


def task(refiner=SAFLEX, recipe=RECIPE, clean=True, side=8, **changes):
    data = dataset(side=side)
    inputs, labels = (torch.from_numpy(a) for a in (data.train.inputs, data.train.labels))
    soft = torch.nn.functional.one_hot(labels, 2).float()
    views = Views(inputs.flip(-1)[None].repeat(3, 1, 1, 1, 1), soft[None].repeat(3, 1, 1))
    return dataclasses.replace(
        Task(
            dataset=data,
            pool=(inputs, labels),
            views=views,
            upstream=None,
            clean=clean,
            model=ResNet(kind="resnet", learning_rate=0.01, width=2),
            refiner=refiner,
            training=recipe,
            device=torch.device("cpu"),
            prepare=images,
        ),
        **changes,
    )


def checkpoints(folder):
    return Checkpoints(folder, {})


def nothing():
    pass


def test_the_same_seed_gives_the_same_figures_and_another_does_not(tmp_path):
    first, again = (train(task(), 0, checkpoints(tmp_path / n), nothing) for n in "ab")
    assert first == again
    assert train(task(), 1, checkpoints(tmp_path / "c"), nothing)["loss"] != first["loss"]


def interrupted(work, folder, monkeypatch):
    """Train seed 0 for three epochs, and leave its state in the folder."""
    monkeypatch.setattr(supervised, "SAVE_EVERY", -1.0)
    epochs = []

    def interrupt():
        epochs.append(None)
        if len(epochs) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(work, 0, checkpoints(folder), interrupt)
    assert list(folder.rglob("seed-0.pt"))


@pytest.mark.parametrize(
    ("select", "kind", "options"),
    [
        ("last", "saflex", {}),
        ("best", "saflex", {}),
        ("last", "saflex", {"momentum": 0.9}),
        ("last", "saflex", {"every": 4}),
        ("last", "permuted", {"momentum": 0.9, "every": 4, "shrink": True}),
    ],
)
def test_an_interrupted_seed_ends_as_an_uninterrupted_one(
    tmp_path, monkeypatch, select, kind, options
):
    recipe = RECIPE.model_copy(update={"select": select})
    refiner = Refiner(kind=kind, saflex=Saflex(space="probs", **options))
    work = task(refiner, recipe)
    whole = train(work, 0, checkpoints(tmp_path / "whole"), nothing)
    interrupted(work, tmp_path / "cut", monkeypatch)
    ticks = []
    resumed = train(work, 0, checkpoints(tmp_path / "cut"), lambda: ticks.append(1))
    assert resumed == whole
    assert len(ticks) == recipe.epochs
    assert not list((tmp_path / "cut").rglob("seed-0.pt"))
    assert checkpoints(tmp_path / "cut").finished(0) == whole


def test_other_settings_never_resume_from_these_checkpoints(tmp_path):
    Checkpoints(tmp_path, {"beta": 0}).finish(0, {"accuracy": 1.0})
    assert Checkpoints(tmp_path, {"beta": 0}).finished(0)
    assert Checkpoints(tmp_path, {"beta": 1}).finished(0) is None


def test_pickled_code_in_a_checkpoint_is_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return print, ("code ran",)

    kept = checkpoints(tmp_path)
    kept.save(0, {"epoch": Evil()})
    with pytest.raises(Exception, match=r"[Ww]eights"):
        kept.restore(0)


def test_methods_see_the_same_samples_in_the_same_order(monkeypatch, tmp_path):
    seen = {}

    def record(name, refiner):
        original = supervised._batches

        def spy(*arguments):
            for batch in original(*arguments):
                seen.setdefault(name, []).append((batch.y, batch.x_aug, batch.y_val))
                yield batch

        with monkeypatch.context() as patch:
            patch.setattr(supervised, "_batches", spy)
            train(task(refiner), 3, checkpoints(tmp_path / name), nothing)

    record("none", Refiner(kind="none"))
    record("saflex", SAFLEX)
    assert len(seen["none"]) == 4 * 3
    for ours, theirs in zip(seen["none"], seen["saflex"], strict=True):
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_every_epoch_sees_every_sample_once_in_even_batches(tmp_path):
    streams = {n: torch.Generator().manual_seed(i) for i, n in enumerate(supervised.STREAMS)}
    work = task()
    work = dataclasses.replace(work, pool=(work.pool[0], torch.arange(23) % 2))
    validation = (torch.zeros(12, 1, 8, 8), torch.zeros(12, dtype=torch.int64))
    batches = list(supervised._batches(work, validation, 0, 0, streams))
    assert [len(b.y) for b in batches] == [8, 8, 7]
    images_seen = torch.cat([b.x for b in batches]).flatten(1).float().sum(1)
    assert torch.equal(images_seen.sort()[0], work.pool[0].flatten(1).float().sum(1).sort()[0])


def test_train_plus_validation_takes_the_same_number_of_steps():
    work = task(Refiner(kind="none", train_on_validation=True))
    data = work.dataset
    both = (
        torch.from_numpy(np.concatenate([data.train.inputs, data.validation.inputs])),
        torch.from_numpy(np.concatenate([data.train.labels, data.validation.labels])),
    )
    work = dataclasses.replace(work, pool=both, views=None)
    streams = {n: torch.Generator().manual_seed(0) for n in supervised.STREAMS}
    validation = (torch.zeros(12, 1, 8, 8), torch.zeros(12, dtype=torch.int64))
    batches = list(supervised._batches(work, validation, 0, 0, streams))
    assert [len(b.y) for b in batches] == [8, 8, 7]


def test_a_loss_that_is_not_finite_names_the_epoch(tmp_path):
    work = task(Refiner(kind="none"), model=ResNet(kind="resnet", learning_rate=1e30, width=2))
    with pytest.raises(FloatingPointError, match=r"seed 0, epoch \d: .*not finite.*learning_rate"):
        train(work, 0, checkpoints(tmp_path), nothing)


def test_patience_stops_and_keeps_the_best_epoch(tmp_path):
    recipe = RECIPE.model_copy(update={"select": "best", "patience": 1, "epochs": 40, "drops": []})
    ticks = []
    stopped = train(task(recipe=recipe), 0, checkpoints(tmp_path / "a"), lambda: ticks.append(1))
    assert len(ticks) == 40
    assert stopped["epoch"] < 40
    short = recipe.model_copy(update={"epochs": stopped["epoch"] + 1, "patience": None})
    assert train(task(recipe=short), 0, checkpoints(tmp_path / "b"), nothing) == stopped


def test_validation_batches_hold_as_many_of_each_class_or_each_by_its_share():
    labels = torch.tensor([0] * 97 + [1] * 3)
    recipe = RECIPE.model_copy(update={"validation_sampling": "balanced", "validation_batch": 20})
    generator = torch.Generator().manual_seed(0)
    drawn = supervised._validation_batch(labels, recipe, generator)
    assert labels[drawn].bincount().tolist() == [10, 10]
    stratified = recipe.model_copy(update={"validation_sampling": "stratified"})
    drawn = supervised._validation_batch(labels, stratified, generator)
    assert labels[drawn].bincount().tolist() == [20, 2]
    assert len(drawn.unique()) == 22
    by_seven = torch.tensor([0] * 93 + [1] * 7)
    everyone = stratified.model_copy(update={"validation_batch": 100})
    drawn = supervised._validation_batch(by_seven, everyone, generator)
    assert sorted(drawn.tolist()) == list(range(100))
    uniform = recipe.model_copy(update={"validation_sampling": "uniform"})
    drawn = supervised._validation_batch(labels, uniform, generator)
    assert len(drawn.unique()) == 20


@pytest.mark.parametrize("sampling", ["stratified", "balanced"])
@pytest.mark.parametrize("counts", [(97, 3), (5, 7, 11), (30, 2, 9, 9), (2, 2, 2)])
def test_both_halves_have_every_class_and_no_sample_in_common(sampling, counts):
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    options = {"validation_sampling": sampling, "validation_batch": 12}
    recipe = RECIPE.model_copy(update=options)
    for seed in range(5):
        generator = torch.Generator().manual_seed(seed)
        drawn = supervised._validation_batch(labels, recipe, generator)
        first, second = drawn.tensor_split(2)
        assert set(labels[first].tolist()) == set(labels[second].tolist()) == set(labels.tolist())
        assert not set(first.tolist()) & set(second.tolist())


def test_a_step_without_any_kept_sample_changes_nothing_by_the_augmented_loss():
    from saflex import soft_cross_entropy

    logits = torch.randn(5, 3, requires_grad=True)
    loss = soft_cross_entropy(logits, torch.full((5, 3), 1 / 3), torch.zeros(5))
    loss.backward()
    assert loss.item() == 0
    assert logits.grad.abs().sum() == 0


def trained(folder, refiner=SAFLEX, model=None, clean=True, **settings):
    """Metrics of a run with other settings of the device, in a folder of its own."""
    recipe = RECIPE.model_copy(update=settings)
    changes = {"model": model} if model else {}
    return train(task(refiner, recipe, clean, **changes), 0, checkpoints(folder), nothing)


@pytest.mark.parametrize("refiner", [Refiner(kind="none"), SAFLEX])
def test_the_memory_layout_changes_rounding_alone(tmp_path, refiner):
    model = ResNet(kind="resnet", learning_rate=1e-4, width=4)
    first, last = (
        trained(tmp_path / str(layout), refiner, model, channels_last=layout, epochs=1)
        for layout in (False, True)
    )
    assert last["loss"] == pytest.approx(first["loss"], rel=1e-3)
    assert last["validation_loss"] == pytest.approx(first["validation_loss"], rel=1e-3)


def test_a_checkpoint_fits_the_other_memory_layout(tmp_path, monkeypatch):
    monkeypatch.setattr(supervised, "SAVE_EVERY", -1.0)
    model = ResNet(kind="resnet", learning_rate=1e-4, width=4)

    def interrupt():
        raise KeyboardInterrupt

    def run(folder, channels_last, tick):
        recipe = RECIPE.model_copy(update={"channels_last": channels_last, "epochs": 2})
        work = task(recipe=recipe, model=model)
        return train(work, 0, checkpoints(tmp_path / folder), tick)

    whole = run("whole", False, nothing)
    with pytest.raises(KeyboardInterrupt):
        run("cut", True, interrupt)
    assert run("cut", False, nothing)["loss"] == pytest.approx(whole["loss"], rel=1e-3)


@pytest.mark.parametrize("how", ["jvp", "lookahead"])
def test_saflex_refines_under_bfloat16(tmp_path, monkeypatch, how):
    """The training passes are in bfloat16; Pi is that of float32, and training works."""
    refiner = Refiner(kind="saflex", saflex=Saflex(how=how, gumbel=0.0, weight_rule="gate"))
    types = set()
    original = supervised.soft_cross_entropy

    def spy(logits, labels, weights):
        types.add((logits.dtype, labels.dtype, weights.dtype))
        return original(logits, labels, weights)

    monkeypatch.setattr(supervised, "soft_cross_entropy", spy)
    model = ResNet(kind="resnet", learning_rate=1e-3, width=4)
    mixed = trained(tmp_path / "a", refiner, model, precision="bfloat16", epochs=8)
    assert types == {(torch.bfloat16, torch.float32, torch.float32)}
    types.clear()
    full = trained(tmp_path / "b", refiner, model, precision="float32", epochs=8)
    assert types == {(torch.float32,) * 3}
    assert min(mixed["accuracy"], full["accuracy"]) > 0.75
    assert mixed["loss"] == pytest.approx(full["loss"], rel=0.2)
    assert mixed["loss"] != full["loss"]
    found, exact = mixed["refiner"]["mean_abs_pi"], full["refiner"]["mean_abs_pi"]
    assert found == pytest.approx(exact, rel=0.5)


def test_precision_is_float32_on_a_cpu_unless_it_is_set():
    for precision, expected in (("auto", False), ("float32", False), ("bfloat16", True)):
        work = task(recipe=RECIPE.model_copy(update={"precision": precision}))
        assert supervised._mixed(work) is expected


@pytest.mark.parametrize("how", ["jvp", "lookahead"])
def test_a_compiled_network_is_refined_alike(tmp_path, monkeypatch, how):
    """Compiled by the eager backend, which traces as the others do and generates no code."""
    compiled = []

    def compile(model):
        compiled.append(model)
        model._compiled_call_impl = torch.compile(model._call_impl, backend="eager")

    monkeypatch.setattr(torch.nn.Module, "compile", compile)
    refiner = Refiner(kind="saflex", saflex=Saflex(how=how, gumbel=0.0))
    eager, traced = (
        trained(tmp_path / str(on), refiner, compile=on, epochs=1) for on in (False, True)
    )
    assert len(compiled) == 1
    assert traced["loss"] == pytest.approx(eager["loss"], rel=1e-3)


def test_views_that_are_drawn_in_each_step_are_new_and_know_what_is_visible():
    from replication import upstream

    work = task()
    for name in ("randaugment", "crop"):
        drawn = dataclasses.replace(work, views=None, upstream=upstream.build(name, 2))
        streams = {n: torch.Generator().manual_seed(0) for n in supervised.STREAMS}
        validation = (torch.zeros(12, 1, 8, 8), torch.zeros(12, dtype=torch.int64))
        first, second = (
            list(supervised._batches(drawn, validation, epoch, 0, streams)) for epoch in range(2)
        )
        assert not torch.equal(first[0].x_aug, second[0].x_aug)
        assert torch.equal(first[0].y_aug.argmax(1), first[0].y)
        assert (first[0].visible is not None) == (name == "crop")


@pytest.mark.parametrize("name", ["none", "paper", "calibrated", "permuted", "smoothing"])
@pytest.mark.parametrize("batch_size", [1, 22])
def test_batches_of_one_sample_and_an_incomplete_last_one(tmp_path, name, batch_size):
    """23 samples: 23 batches of one, or a batch of 12 and one of 11; validation batches of two,
    of which `calibrated` compares the halves."""
    update = {"batch_size": batch_size, "validation_batch": 2, "epochs": 1}
    work = task(PROFILE.refiners[name], RECIPE.model_copy(update=update), side=16)
    assert np.isfinite(train(work, 0, checkpoints(tmp_path), nothing)["loss"])


def test_one_sample_of_so_few_pixels_is_refused_by_batch_norm(tmp_path):
    """At 8 x 8 pixels the last stage has one value per channel and sample."""
    work = task(recipe=RECIPE.model_copy(update={"batch_size": 1}))
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        train(work, 0, checkpoints(tmp_path), nothing)


def test_a_class_that_validation_lacks(tmp_path):
    data = dataset()
    data = dataclasses.replace(
        data, validation=Split(data.validation.inputs, np.zeros_like(data.validation.labels))
    )
    recipe = RECIPE.model_copy(update={"select": "best", "validation_sampling": "balanced"})
    for name in ("none", "paper", "calibrated"):
        work = task(PROFILE.refiners[name], recipe, dataset=data)
        result = train(work, 0, checkpoints(tmp_path / name), nothing)
        assert result["validation_auroc"] == 0.5
        assert result["epoch"] == 1
        assert np.isfinite(result["loss"])


def test_training_goes_on_where_every_weight_is_zero(tmp_path, monkeypatch):
    """Nothing is learnt from a step without kept samples: parameters stay as they were drawn."""
    seen = []

    class Nothing:
        def __init__(self, model):
            self.model = model
            seen.append((model, [p.detach().clone() for p in model.parameters()]))

        def __call__(self, x_aug, y_aug, validation, visible=None):
            zero, pi = torch.zeros(len(y_aug)), torch.zeros_like(y_aug)
            return Refined(zero, y_aug, pi, self.model(x_aug), zero.new_ones(()))

    monkeypatch.setattr(supervised.refiners, "build", lambda _, model, *rest: Nothing(model))
    result = trained(tmp_path / "augmented", clean=False)
    assert result["refiner"]["kept"] == 0
    assert np.isfinite(result["loss"])
    (model, start), *_ = seen
    assert all(map(torch.equal, model.parameters(), start))
    trained(tmp_path / "clean", clean=True)
    (model, start) = seen[-1]
    assert not any(map(torch.equal, model.parameters(), start))


def test_diagnostics_say_what_weight_wrongly_labelled_samples_have():
    """Samples 2 and 4 came with another class's label; the second step has no weights at all."""
    y = torch.tensor([0, 1, 1, 0])
    y_aug = torch.nn.functional.one_hot(torch.tensor([0, 0, 1, 1]), 2).float()
    diagnostics = supervised.Diagnostics()
    for weights in ([0.5, 0.1, 0.2, 0.2], [0.0] * 4):
        weights = torch.tensor(weights)
        refined = Refined(weights, y_aug, torch.zeros(4, 2), torch.zeros(4, 2), torch.ones(()))
        diagnostics.add(refined, y_aug, y)
    means = diagnostics.means()
    assert means["other"] == pytest.approx(0.5)
    assert means["other_weight"] == pytest.approx((0.3 + 0.0) / 2)
