"""The supervised problem: its loss under every refiner, precision and way to run the network."""

import dataclasses

import numpy as np
import pytest
import torch
from made_tasks import (
    NONE,
    PERMUTED,
    SAFLEX,
    SMALL,
    SMOOTHING,
    dataset,
    recipe,
    score,
    task,
    train,
    validation,
)

from replication.data.dataset import Split
from replication.refiners import Refined
from replication.settings import Reading, load, models
from replication.training.problems import supervised
from replication.training.problems.supervised import Supervised, replay

PROFILE = load("quick")
READINGS = {
    name: (refiner, PROFILE.readings.get(name, PROFILE.readings["calibrated"]))
    for name, refiner in (
        ("none", NONE),
        ("paper", SAFLEX),
        ("calibrated", SAFLEX),
        ("permuted", PERMUTED),
        ("smoothing", SMOOTHING),
    )
}


def test_the_refiner_draws_the_random_numbers_of_the_training_pass_again():
    torch.manual_seed(0)
    torch.rand(3)
    again = replay(torch.device("cpu"))
    first, state = torch.rand(5), torch.get_rng_state()
    for _ in range(2):
        with again():
            assert torch.equal(torch.rand(5), first)
            torch.rand(7)
        assert torch.equal(torch.get_rng_state(), state)


def trained(folder, refiner=SAFLEX, reading=None, model=None, clean=True, **training):
    """Record of a run with other settings of the device, in a folder of its own."""
    model = model or models.ResNet(kind="resnet", learning_rate=0.01, width=8)
    reading = reading or Reading(space="probs")
    return train(task(recipe(refiner, reading, model, **training), clean), 0, folder)


@pytest.mark.parametrize("refiner", [NONE, SAFLEX])
def test_the_memory_layout_changes_rounding_alone(tmp_path, refiner):
    model = models.ResNet(kind="resnet", learning_rate=1e-4, width=8)
    first, last = (
        trained(tmp_path / str(layout), refiner, model=model, channels_last=layout, epochs=1)
        for layout in (False, True)
    )
    assert score(last) == pytest.approx(score(first), rel=1e-3)
    assert validation(last) == pytest.approx(validation(first), rel=1e-3)


@pytest.mark.parametrize("how", ["jvp", "lookahead"])
def test_saflex_refines_under_bfloat16(tmp_path, monkeypatch, how):
    """The training passes are in bfloat16; Pi is that of float32, and training works."""
    reading = Reading(how=how, gumbel=0.0, weight_rule="gate")
    types = set()
    original = supervised.soft_cross_entropy

    def spy(logits, labels, weights):
        types.add((logits.dtype, labels.dtype, weights.dtype))
        return original(logits, labels, weights)

    monkeypatch.setattr(supervised, "soft_cross_entropy", spy)
    model = models.ResNet(kind="resnet", learning_rate=5e-4, width=8)
    options = {"reading": reading, "model": model, "epochs": 8}
    mixed = trained(tmp_path / "a", precision="bfloat16", **options)
    assert types == {(torch.bfloat16, torch.float32, torch.float32)}
    types.clear()
    full = trained(tmp_path / "b", precision="float32", **options)
    assert types == {(torch.float32,) * 3}
    assert min(score(mixed, "accuracy"), score(full, "accuracy")) > 0.75
    assert score(mixed) == pytest.approx(score(full), rel=0.2)
    assert score(mixed) != score(full)
    found, exact = mixed.refiner["mean_abs_pi"], full.refiner["mean_abs_pi"]
    assert found == pytest.approx(exact, rel=0.5)


def test_precision_is_float32_on_a_cpu_unless_it_is_set():
    for precision, expected in (("auto", False), ("float32", False), ("bfloat16", True)):
        assert supervised._mixed(task(recipe(precision=precision))) is expected


@pytest.mark.parametrize("how", ["jvp", "lookahead"])
@pytest.mark.parametrize("shrink", [False, True])
def test_a_compiled_network_is_refined_alike(tmp_path, monkeypatch, how, shrink):
    """Compiled by the eager backend, which traces as the others do and generates no code."""
    compiled = []

    def compile(model):
        compiled.append(model)
        model._compiled_call_impl = torch.compile(model._call_impl, backend="eager")

    monkeypatch.setattr(torch.nn.Module, "compile", compile)
    reading = Reading(how=how, gumbel=0.0, shrink=shrink)
    eager, traced = (
        trained(tmp_path / str(on), reading=reading, compile=on, epochs=1) for on in (False, True)
    )
    assert len(compiled) == 1
    assert score(traced) == pytest.approx(score(eager), rel=1e-3)


@pytest.mark.parametrize("name", READINGS)
@pytest.mark.parametrize("batch_size", [1, 22])
def test_batches_of_one_sample_and_an_incomplete_last_one(tmp_path, name, batch_size):
    """23 samples: 23 batches of one, or a batch of 12 and one of 11; validation batches of two,
    of which `calibrated` compares the halves."""
    training = {"batch_size": batch_size, "validation_batch": 2, "epochs": 1}
    work = task(recipe(*READINGS[name], **training), side=16)
    assert np.isfinite(score(train(work, 0, tmp_path)))


@pytest.mark.parametrize(("threads", "width", "last"), [(1, 8, True), (2, 8, False), (2, 16, True)])
def test_narrow_networks_have_a_layout_that_torch_can_handle(monkeypatch, threads, width, last):
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    model = SMALL.model_copy(update={"width": width})
    convolution = Supervised(task(recipe(model=model)), 0).model.stages[1][0].conv1
    assert convolution.weight.is_contiguous(memory_format=torch.channels_last) == last


def test_one_sample_of_so_few_pixels_is_refused_by_batch_norm(tmp_path):
    """At 8 x 8 pixels the last stage has one value per channel and sample."""
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        train(task(recipe(batch_size=1)), 0, tmp_path)


@pytest.mark.parametrize("name", ["none", "paper", "calibrated"])
def test_a_class_that_validation_lacks(tmp_path, name):
    data = dataset()
    data = dataclasses.replace(
        data, validation=Split(data.validation.inputs, np.zeros_like(data.validation.labels))
    )
    training = {"select": "best", "validation_sampling": "balanced"}
    result = train(task(recipe(*READINGS[name], **training), dataset=data), 0, tmp_path)
    assert validation(result, "auroc") == 0.5
    assert result.epoch == 1
    assert np.isfinite(score(result))


@pytest.mark.parametrize("clean", [False, True])
def test_training_goes_on_where_every_weight_is_zero(tmp_path, monkeypatch, clean):
    """Nothing is learnt from a step without kept samples: parameters stay as they were drawn."""

    def nothing(inputs, labels, validation, logits, batch):
        zero = torch.zeros(len(labels))
        return Refined(zero, labels, torch.zeros_like(labels), zero.new_ones(()))

    monkeypatch.setattr(supervised.refiners, "build", lambda *_: nothing)
    problem = Supervised(task(recipe(), clean), 0)
    start = [p.detach().clone() for p in problem.model.parameters()]
    for batch in problem.batches(0):
        problem.optimizer.zero_grad()
        problem.loss(batch).backward()
        problem.optimizer.step()
    unchanged = [torch.equal(p, q) for p, q in zip(problem.model.parameters(), start, strict=True)]
    assert not any(unchanged) if clean else all(unchanged)
    assert problem.diagnostics.means()["kept"] == 0
    assert np.isfinite([s.value for s in problem.scores()]).all()
