"""Weights and labels against brute force, samples and other people's formulas."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import saflex


def problem(batch=3, classes=3):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, classes)).double()
    x, x_val = torch.randn(batch, 4).double(), torch.randn(8, 4).double()
    y_val = torch.randint(classes, (8,))
    return model, x, lambda m: F.cross_entropy(m(x_val), y_val)


def fall(model, x, val_loss, labels, weights):
    """<g, grad L_aug> of one assignment, by two backward passes."""
    params = list(model.parameters())
    g = torch.autograd.grad(val_loss(model), params)
    loss = saflex.soft_cross_entropy(model(x), labels, weights)
    h = torch.autograd.grad(loss, params)
    return float(sum((a * b).sum() for a, b in zip(g, h, strict=True)))


def step_fall(model, x, val_loss, labels, weights, a=1e-6):
    """The validation loss before minus after one real SGD step, by the step size."""
    params = list(model.parameters())
    grads = torch.autograd.grad(saflex.soft_cross_entropy(model(x), labels, weights), params)
    with torch.no_grad():
        before = val_loss(model)
        for p, h in zip(params, grads, strict=True):
            p.sub_(a * h)
        after = val_loss(model)
        for p, h in zip(params, grads, strict=True):
            p.add_(a * h)
    return float(before - after) / a


@pytest.mark.parametrize("how", ["jvp", "lookahead"])
def test_greedy_solution_is_the_best_of_all_assignments(how):
    model, x, val_loss = problem()
    g = saflex.validation_gradient(model, val_loss(model))
    pi = saflex.inner_products(model, x, g, how=how)
    weights, labels = saflex.solve(pi, torch.zeros(3, dtype=torch.int64), 0, 1e-9, gumbel=0)
    assert ((labels == 0) | (labels == 1)).all()
    greedy = fall(model, x, val_loss, labels, (weights > 0).double())
    best = max(
        fall(model, x, val_loss, torch.tensor(classes), torch.tensor(mask))
        for classes in itertools.product(range(3), repeat=3)
        for mask in itertools.product((0, 1), repeat=3)
    )
    assert greedy == pytest.approx(best, rel=1e-6)
    assert greedy > 0


def test_objective_is_linear_in_weights_and_labels_and_is_the_real_fall():
    model, x, val_loss = problem(5)
    pi = saflex.inner_products(model, x, saflex.validation_gradient(model, val_loss(model)))
    labels, weights = torch.rand(5, 3).double().softmax(1), torch.rand(5).double()
    expected = float((weights * (labels * pi).sum(1)).sum())
    assert fall(model, x, val_loss, labels, weights) == pytest.approx(expected, rel=1e-9)
    assert step_fall(model, x, val_loss, labels, weights) == pytest.approx(expected, rel=1e-4)


def test_positive_rule_is_learning_to_reweight():
    """Ren et al. 2018: -d L_val(theta - a grad sum_i e_i l_i) / d e_i at 0, clipped, normalised."""
    model, x, val_loss = problem(6)
    y = torch.tensor([0, 1, 2, 0, 1, 2])
    e = torch.zeros(6, dtype=torch.float64, requires_grad=True)
    losses = F.cross_entropy(model(x), y, reduction="none")
    grads = torch.autograd.grad((e * losses).sum(), list(model.parameters()), create_graph=True)
    moved = {n: p - h for (n, p), h in zip(model.named_parameters(), grads, strict=True)}
    after = val_loss(lambda inputs: torch.func.functional_call(model, moved, (inputs,)))
    wanted = (-torch.autograd.grad(after, e)[0]).clamp_min(0)
    assert 0 < (wanted > 0).sum() < 6
    pi = saflex.inner_products(model, x, saflex.validation_gradient(model, val_loss(model)))
    weights, labels = saflex.solve(pi, y, weight_rule="positive", keep_labels=True)
    torch.testing.assert_close(weights, wanted / wanted.sum())
    torch.testing.assert_close(labels, F.one_hot(y, 3).double())


PI = torch.tensor([[2.0, -1.0, -3.0], [-1.0, -2.0, 0.5], [-1.0, -2.0, -0.5], [0.0, 0.0, 0.0]])


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("label", [1.0, 1.0, 0.0, 1.0]),
        ("sum", [0.0, 0.0, 0.0, 1.0]),
        ("gate", [1 / (1 + math.exp(2)), 1 / (1 + math.exp(-1)), 1 / (1 + math.exp(2)), 0.5]),
        ("positive", [0.0, 0.5, 0.0, 0.0]),
        ("all", [1.0, 1.0, 1.0, 1.0]),
    ],
)
def test_weight_rules_by_hand(rule, expected):
    y = torch.tensor([1, 2, 0, 0])
    weights, labels = saflex.solve(PI, y, 0, 1e-6, 0.0, rule, slope=2.0)
    expected = torch.tensor(expected)
    torch.testing.assert_close(weights, expected / expected.sum())
    assert labels[:3].argmax(1).tolist() == [0, 2, 2]


@pytest.mark.parametrize(("rule", "pi"), [("label", -1.0), ("sum", -1.0), ("positive", -1.0)])
def test_weights_are_all_zero_when_nothing_is_kept(rule, pi):
    weights, labels = saflex.solve(torch.full((3, 2), pi), torch.tensor([0, 1, 1]), 0, 1, 0, rule)
    assert not weights.any()
    torch.testing.assert_close(labels.sum(1), torch.ones(3))


def test_beta_and_temperature():
    y = torch.tensor([1, 2, 0, 0])
    _, labels = saflex.solve(PI, y, beta=3.0, temperature=0.7, gumbel=0)
    for i, row in enumerate(PI.tolist()):
        scores = [math.exp((v + 3 * (k == y[i])) / 0.7) for k, v in enumerate(row)]
        expected = torch.tensor([s / sum(scores) for s in scores])
        torch.testing.assert_close(labels[i], expected)
    soft = torch.tensor([[0.2, 0.3, 0.5]]).expand(4, 3)
    _, mixed = saflex.solve(PI, soft, beta=1.0, temperature=1.0, gumbel=0)
    torch.testing.assert_close(mixed, (PI + soft).softmax(1))


def test_gumbel_noise_samples_from_the_softmax_of_pi():
    pi = torch.tensor([[0.5, -1.0, 1.0]]).expand(20_000, 3)
    y = torch.zeros(20_000, dtype=torch.int64)
    generator = torch.Generator().manual_seed(0)
    _, labels = saflex.solve(pi, y, 0, 1e-6, 1.0, generator=generator)
    torch.testing.assert_close(labels.mean(0), pi[0].softmax(0), atol=0.015, rtol=0)


def test_noise_is_reproducible_and_leaves_the_random_state_alone():
    y, state = torch.tensor([0, 1, 2, 0]), torch.get_rng_state()
    first = saflex.solve(PI, y, temperature=1.0)[1]
    second = saflex.solve(PI, y, temperature=1.0)[1]
    assert not torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), state)
    a, b = (
        saflex.solve(PI, y, temperature=1.0, generator=torch.Generator().manual_seed(3))[1]
        for _ in range(2)
    )
    assert torch.equal(a, b)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_precision_of_pi(dtype):
    y = torch.tensor([1, 2, 0, 0])
    weights, labels = saflex.solve(PI.to(dtype), y, 1.0, 0.01, 0.0, "gate")
    expected = saflex.solve(PI, y, 1.0, 0.01, 0.0, "gate")
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    assert weights.dtype == labels.dtype == wide
    torch.testing.assert_close(weights, expected[0].to(wide))
    torch.testing.assert_close(labels, expected[1].to(wide))


def test_extreme_scales_stay_finite():
    y = torch.tensor([1, 2, 0, 0])
    for scale, temperature in ((1e30, 1e-10), (1e-30, 1e-10), (1e-30, 1e10)):
        weights, labels = saflex.solve(scale * PI, y, 0, temperature, 0)
        assert weights.isfinite().all()
        torch.testing.assert_close(labels.sum(1), torch.ones(4))


def test_sum_rule_keeps_everything_in_probability_space():
    """sum_k Pi_k = 0 for probabilities, even under a common mode far larger than the signal."""
    torch.manual_seed(0)
    model = nn.Linear(5, 40)
    d = {"weight": torch.randn(40, 5), "bias": torch.full((40,), 1e3)}
    pi = saflex.inner_products(model, torch.randn(64, 5), d, "probs")
    weights, _ = saflex.solve(pi, torch.zeros(64, dtype=torch.int64), weight_rule="sum")
    torch.testing.assert_close(weights, torch.full((64,), 1 / 64))


def test_soft_cross_entropy_is_pytorchs():
    torch.manual_seed(0)
    z, y = torch.randn(6, 4, requires_grad=True), torch.randint(4, (6,))
    loss = saflex.soft_cross_entropy(z, F.one_hot(y, 4).float(), torch.full((6,), 1 / 6))
    torch.testing.assert_close(loss, F.cross_entropy(z, y))
    soft, w = torch.rand(6, 4).softmax(1), torch.rand(6)
    expected = (w * F.cross_entropy(z, soft, reduction="none")).sum()
    torch.testing.assert_close(saflex.soft_cross_entropy(z, soft, w), expected)


Y = torch.tensor([0, 1, 2, 0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: saflex.solve(PI[0], Y), r"pi: .*\(B, K\).*\(3,\)"),
        (lambda: saflex.solve(PI[:0], Y[:0]), r"pi: .*\(B, K\).*\(0, 3\)"),
        (lambda: saflex.solve(PI / 0, Y), r"pi: finite.*\(4, 3\)"),
        (lambda: saflex.solve(PI, Y, temperature=0), r"temperature: a number from 1e-30.*0"),
        (lambda: saflex.solve(PI, Y, temperature=-1.0), r"temperature: a number from 1e-30.*-1"),
        (
            lambda: saflex.solve(PI, Y, temperature=math.nan),
            r"temperature: a number from 1e-30.*nan",
        ),
        (lambda: saflex.solve(PI, Y, weight_rule="none"), r"weight_rule: one of .*label.*'none'"),
        (lambda: saflex.solve(PI, Y + 1), r"labels: \(4,\) int64 in \[0, 3\).*\[1, 2, 3, 1\]"),
        (lambda: saflex.solve(PI, Y - 1), r"labels: .*in \[0, 3\).*\[-1, 0, 1, -1\]"),
        (lambda: saflex.solve(PI, Y[:3]), r"labels: \(4,\) int64.*\(4, 3\) rows.*\[0, 1, 2\]"),
        (lambda: saflex.solve(PI, Y.float()), r"labels: \(4,\) int64.*got .*0\.0, 1\.0"),
        (lambda: saflex.solve(PI, Y.int()), r"labels: \(4,\) int64.*int32"),
        (
            lambda: saflex.solve(PI, torch.ones(4, 3)),
            r"labels: .*\(4, 3\) rows on the simplex.*1\.0, 1\.0",
        ),
        (lambda: saflex.solve(PI, PI / PI.sum(1, keepdim=True)), r"labels: .*rows on the simplex"),
        (lambda: saflex.solve(PI, torch.full((4, 3), math.nan)), r"labels: .*rows on the simplex"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()
