"""What holds for every model, batch and setting (hypothesis)."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import saflex

quickly = settings(max_examples=25, deadline=None)
seeds = st.integers(0, 10_000)
sizes = st.integers(1, 6)


def model_of(seed, classes, dtype=torch.float64):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, classes)).to(dtype)
    d = {n: torch.randn_like(p) for n, p in model.named_parameters()}
    return model, d


@quickly
@given(
    seeds, sizes, sizes, st.floats(-6, 6), st.floats(0, 3), st.floats(1e-3, 10), st.floats(0, 2),
    st.sampled_from(saflex.WEIGHT_RULES), st.booleans(), st.booleans(),
)  # fmt: skip
def test_labels_and_weights(
    seed, batch, classes, size, beta, temperature, gumbel, rule, soft, keep
):
    torch.manual_seed(seed)
    pi = torch.randn(batch, classes) * 10**size
    y = torch.rand(batch, classes).softmax(1) if soft else torch.randint(classes, (batch,))
    weights, labels = saflex.solve(
        pi,
        y,
        beta,
        temperature,
        gumbel,
        rule,
        torch.Generator().manual_seed(seed),
        keep_labels=keep,
    )
    assert (labels >= 0).all()
    torch.testing.assert_close(labels.sum(1), torch.ones(batch))
    assert (weights >= 0).all()
    assert not weights.any() or abs(float(weights.sum()) - 1) < 1e-5


@quickly
@given(seeds, sizes, st.integers(2, 6), st.sampled_from(saflex.WEIGHT_RULES))
def test_permuting_batch_and_classes_permutes_the_solution(seed, batch, classes, rule):
    torch.manual_seed(seed)
    pi, y = torch.randn(batch, classes), torch.rand(batch, classes).softmax(1)
    rows, columns = torch.randperm(batch), torch.randperm(classes)
    weights, labels = saflex.solve(pi, y, 1.0, 0.5, 0.0, rule)
    other_weights, other_labels = saflex.solve(
        pi[rows][:, columns], y[rows][:, columns], 1.0, 0.5, 0.0, rule
    )
    torch.testing.assert_close(other_weights, weights[rows])
    torch.testing.assert_close(other_labels, labels[rows][:, columns])


@quickly
@given(seeds, sizes, st.integers(2, 6), st.sampled_from(saflex.SPACES))
def test_permuting_the_models_batch_and_classes_permutes_pi(seed, batch, classes, space):
    model, d = model_of(seed, classes)
    x, rows, columns = (
        torch.randn(batch, 3).double(),
        torch.randperm(batch),
        torch.randperm(classes),
    )
    pi = saflex.inner_products(model, x, d, space)
    permuted = saflex.inner_products(
        model, x[rows], d, space, forward=lambda m, x: m(x)[:, columns]
    )
    torch.testing.assert_close(permuted, pi[rows][:, columns])


@quickly
@given(seeds, sizes, sizes)
def test_sums_over_classes(seed, batch, classes):
    model, d = model_of(seed, classes)
    x = torch.randn(batch, 3).double()
    p = model(x).softmax(1)
    probs, logs = (saflex.inner_products(model, x, d, space) for space in ("probs", "log_probs"))
    zero = torch.zeros(batch).double()
    torch.testing.assert_close(probs.sum(1), zero)
    torch.testing.assert_close((p * logs).sum(1), zero)
    torch.testing.assert_close(probs, p * logs)


@quickly
@given(seeds, sizes, st.integers(2, 6), st.sampled_from(saflex.SPACES), st.floats(-2, 2))
def test_pi_is_linear_in_the_direction(seed, batch, classes, space, factor):
    model, d = model_of(seed, classes)
    other = {n: torch.randn_like(t) for n, t in d.items()}
    x = torch.randn(batch, 3).double()
    a, b, both = (
        saflex.inner_products(model, x, direction, space)
        for direction in (d, other, {n: d[n] + factor * other[n] for n in d})
    )
    torch.testing.assert_close(both, a + factor * b)


@quickly
@given(seeds, sizes, st.integers(2, 6))
def test_look_ahead_tends_to_the_exact_product_at_first_order(seed, batch, classes):
    model, d = model_of(seed, classes)
    x = torch.randn(batch, 3).double()
    exact = saflex.inner_products(model, x, d)
    errors = [
        (saflex.inner_products(model, x, d, how="lookahead", epsilon=e) - exact).norm()
        for e in (1e-3, 1e-4, 1e-5)
    ]
    assert errors[2] <= 1e-3 * (1 + exact.norm())
    assert errors[2] <= 0.2 * errors[1] + 1e-8
    assert errors[1] <= 0.2 * errors[0] + 1e-8


@quickly
@given(seeds, sizes, st.integers(2, 6), st.sampled_from(saflex.SPACES))
def test_head_scope_is_the_exact_product_with_the_heads_direction(seed, batch, classes, space):
    model, d = model_of(seed, classes)
    head = {n: d[n] for n in saflex.scope_names(model, "head")}
    x = torch.randn(batch, 3).double()
    torch.testing.assert_close(
        saflex.inner_products(model, x, head, space, "head"),
        saflex.inner_products(model, x, head, space),
    )
