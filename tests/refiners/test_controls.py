"""What the controls keep of SAFLEX and what they take away."""

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from replication import refiners
from replication.refiners import Refined
from replication.refiners.controls import Permuted, entropy, smooth
from replication.settings import load
from replication.settings import refiners as refiners_of

CALIBRATED = load("quick").readings["calibrated"].model_copy(update={"how": "jvp"})
SETTINGS = {
    "none": refiners_of.Alone(kind="none", role="baseline"),
    "saflex": refiners_of.Saflex(kind="saflex", role="reading", reading="calibrated"),
    "permuted": refiners_of.Imitation(kind="permuted", of="calibrated"),
    "smoothing": refiners_of.Imitation(kind="smoothing", of="calibrated"),
    "confidence": refiners_of.Imitation(kind="confidence", of="posterior"),
    "oracle": refiners_of.Oracle(kind="oracle"),
    "filtered": refiners_of.Filtered(kind="filtered", role="rival"),
}
POSTERIOR = refiners_of.Posterior(kind="posterior")


KEPT = torch.arange(30) % 3 > 0


@pytest.fixture
def problem():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 4))
    x = torch.randn(30, 5)
    y = torch.nn.functional.one_hot(torch.randint(0, 4, (30,)), 4).float()
    return model, x, y, (torch.randn(20, 5), torch.randint(0, 4, (20,)))


def refine(kind, problem, reading=CALIBRATED):
    model, x, y, validation = problem
    generator = torch.Generator().manual_seed(1)
    optimizer = torch.optim.Adam(model.parameters())
    build = refiners.build(SETTINGS[kind], reading, model, optimizer, generator)
    batch = SimpleNamespace(shown=y.roll(1, 0).argmax(1), visible=None, kept=KEPT)
    return build(x, y, validation, model(x), batch)


def test_none_passes_labels_through_with_equal_weights(problem):
    refined = refine("none", problem)
    assert torch.equal(refined.labels, problem[2])
    assert torch.allclose(refined.weights, torch.full((30,), 1 / 30))


def test_filtered_samples_have_no_weight_and_the_others_all_alike(problem):
    refined = refine("filtered", problem)
    assert torch.equal(refined.labels, problem[2])
    assert torch.allclose(refined.weights, KEPT / 20)


def test_validation_passes_leave_batch_norm_alone(problem):
    model, x, _, _ = problem
    plain = nn.Sequential(nn.Linear(5, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 4))
    plain.load_state_dict(model.state_dict())
    plain(x)
    refine("saflex", problem)
    for ours, once in zip(model.buffers(), plain.buffers(), strict=True):
        assert torch.allclose(ours.float(), once.float(), atol=1e-6)


def test_permuted_keeps_the_numbers_and_loses_the_samples(problem):
    true, permuted = refine("saflex", problem), refine("permuted", problem)
    ours, theirs = true.inner_products, permuted.inner_products
    assert torch.allclose(ours.flatten().sort()[0], theirs.flatten().sort()[0], atol=1e-6)
    assert torch.allclose(ours.sum(1).sort()[0], theirs.sum(1).sort()[0], atol=1e-4)
    assert (ours - theirs).abs().mean() > 0.1 * ours.abs().mean()
    assert permuted.weights.sum().item() == pytest.approx(1, abs=1e-5)


def test_permuted_pi_is_independent_of_the_upstream_label():
    """Over many draws the mean inner product of the upstream label is the overall mean."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.eye(4).repeat(8, 1)
    whole = torch.ones(())

    def informative(*_):
        return Refined(labels.sum(1), labels, labels.clone(), whole)

    def solve(pi, labels, reliability):
        return Refined(labels.sum(1), labels, pi, reliability)

    permuted = Permuted(informative, solve, generator)
    draws = [permuted(None, labels, None, None).inner_products for _ in range(300)]
    hits = [(pi * labels).sum(1).mean() for pi in draws]
    assert torch.stack(hits).mean().item() == pytest.approx(0.25, abs=0.02)


def test_smoothing_has_saflex_entropy_and_equal_weights(problem):
    true, control = refine("saflex", problem), refine("smoothing", problem)
    ours, theirs = entropy(true.labels).mean(), entropy(control.labels).mean()
    assert theirs.item() == pytest.approx(ours.item(), abs=1e-4)
    assert (control.labels.argmax(1) == problem[2].argmax(1)).all()
    assert torch.allclose(control.weights, torch.full((30,), 1 / 30))


@given(st.integers(2, 12), st.floats(0, 1), st.integers(0, 99))
def test_smooth_reaches_every_reachable_entropy(classes, share, seed):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.rand(7, classes, generator=generator).softmax(1)
    target = share * torch.tensor(float(classes)).log()
    smoothed = smooth(labels, target)
    assert torch.allclose(smoothed.sum(1), torch.ones(7), atol=1e-5)
    assert (smoothed.argmax(1) == labels.argmax(1)).all() or share > 0.999
    assert entropy(smoothed).mean().item() == pytest.approx(target.item(), abs=1e-3)


def test_smooth_sharpens_mixed_labels_by_a_power():
    labels = torch.tensor([[0.8, 0.2, 0.0], [0.0, 0.4, 0.6]])
    wanted = labels.square() / labels.square().sum(1, keepdim=True)
    assert torch.allclose(smooth(labels, entropy(wanted).mean()), wanted, atol=1e-4)


def test_smooth_cannot_part_classes_that_are_equal():
    labels = torch.full((3, 4), 0.25)
    assert torch.allclose(smooth(labels, torch.tensor(0.1)), labels, atol=1e-6)


def test_the_permuted_control_of_posterior_keeps_its_beliefs_and_loses_the_samples(problem):
    true, permuted = (refine(kind, problem, POSTERIOR) for kind in ("saflex", "permuted"))
    for beliefs in (true.inner_products, permuted.inner_products):
        assert torch.allclose(beliefs.exp().sum(1), torch.ones(30), atol=1e-5)
    ours, theirs = true.inner_products.flatten(), permuted.inner_products.flatten()
    assert torch.allclose(ours.sort()[0], theirs.sort()[0], atol=1e-6)
    assert (true.weights - permuted.weights).abs().max() > 1e-3


def test_confidence_is_posterior_without_the_step(problem):
    """As if validation data had nothing to say: their step is damped until it is none."""
    damped = POSTERIOR.model_copy(update={"ridge": 1e15})
    without, control = refine("saflex", problem, damped), refine("confidence", problem, POSTERIOR)
    assert torch.allclose(without.weights, control.weights, atol=1e-6)
    assert not torch.allclose(refine("saflex", problem, POSTERIOR).weights, control.weights)
    model, x, _, _ = problem
    assert torch.allclose(control.inner_products.exp(), model(x).softmax(1), atol=1e-5)


def test_oracle_drops_the_samples_of_another_class(problem):
    refined, y = refine("oracle", problem), problem[2]
    right = (y == y.roll(1, 0)).all(1)
    assert 0 < right.sum() < 30
    assert torch.equal(refined.weights > 0, right)
    assert refined.weights.sum() == pytest.approx(1)
    assert torch.equal(refined.labels, y)
