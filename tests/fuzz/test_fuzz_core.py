"""The core against its definitions in float64, and a ValueError that names what is wrong."""

import copy
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call, jacrev

import saflex

fuzz = settings.get_profile("fuzz")
half = settings(fuzz, max_examples=fuzz.max_examples // 2)
seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(1, 6)
numbers = st.floats(-1e3, 1e3)
amounts = st.floats(0, 30)


def labels_of(random, batch, classes, soft):
    if not soft:
        return torch.from_numpy(random.integers(classes, size=batch))
    rows = random.dirichlet(np.full(classes, 0.5), size=batch)
    return torch.from_numpy(rows)


# ---- solve ---------------------------------------------------------------------------------------
def by_hand(pi, labels, noise, *, beta, temperature, gumbel, weight_rule, slope, keep_labels):
    """Weights and labels sample by sample, by the formulas of `saflex.solve`; None near a jump."""
    weights, rows = [], []
    for row, label, drawn in zip(pi, labels, noise, strict=True):
        y_aug = label if np.ndim(label) else np.eye(len(row))[label]
        y = np.array(y_aug, float)
        if not keep_labels:
            y = (row + beta * y_aug + gumbel * drawn) / temperature
            y = np.exp(y - y.max())
            y /= y.sum()
        score, sharp = row @ y_aug, {"label": row @ y, "sum": row.sum()}.get(weight_rule, 1)
        if 0 < abs(sharp) < 1e-5 * np.abs(row).sum():
            return None
        weights.append(
            {
                "gate": 1 / (1 + math.exp(min(700, -slope * score))),
                "positive": max(0, score),
            }.get(weight_rule, float(sharp >= 0))
        )
        rows.append(y)
    total = sum(weights)
    if 0 < total < 1e-28:  # below `saflex.TINY`, or of float32
        return None
    return np.array(weights) / (total or 1.0), np.stack(rows)


OPTIONS = {
    "beta": amounts,
    "temperature": st.floats(1e-5, 1e5),
    "gumbel": st.just(0.0) | amounts,
    "weight_rule": st.sampled_from(saflex.WEIGHT_RULES),
    "slope": amounts,
    "keep_labels": st.booleans(),
}


@st.composite
def programmes(draw):
    """Pi with ties and zeros, labels of both kinds, options."""
    batch, classes, seed = draw(sizes), draw(sizes), draw(seeds)
    few = st.sampled_from([0.0, 1.0, -1.0, 0.5])
    cells = st.lists(few | numbers, min_size=batch * classes, max_size=batch * classes)
    pi = torch.tensor(draw(cells), dtype=torch.float64).view(batch, classes)
    y = labels_of(np.random.default_rng(seed), batch, classes, draw(st.booleans()))
    return pi, y, seed, draw(st.fixed_dictionaries(OPTIONS))


@fuzz
@given(programmes(), st.sampled_from([torch.float64, torch.float32]))
def test_solve_is_its_formulas(programme, dtype):
    pi, y, seed, options = programme
    pi = pi.to(dtype)
    generator = torch.Generator().manual_seed(seed)
    noise = -torch.empty_like(pi).exponential_(generator=generator).clamp_min(1e-30).log()
    expected = by_hand(pi.double().numpy(), y.numpy(), noise.double().numpy(), **options)
    assume(expected is not None)
    expected = [torch.from_numpy(part).to(dtype) for part in expected]
    rounding = torch.finfo(dtype).eps * 1e5
    assume(dtype == torch.float64 or options["temperature"] > 1)
    got = saflex.solve(pi, y, generator=generator.manual_seed(seed), **options)
    for a, b in zip(got, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=rounding, atol=rounding)


WRONG_LABELS = {
    "a class too many": lambda y, classes: torch.full((len(y),), classes),
    "a negative class": lambda y, _: torch.full((len(y),), -1),
    "int32": lambda y, _: torch.zeros(len(y), dtype=torch.int32),
    "a row too many": lambda y, classes: torch.full((len(y) + 1, classes), 1 / classes),
    "a column too many": lambda y, k: torch.full((len(y), k + 1), 1 / (k + 1)),
    "sums of 2": lambda y, classes: torch.full((len(y), classes), 2 / classes),
    "not a number": lambda y, classes: torch.full((len(y), classes), torch.nan),
    "below 0": lambda y, k: torch.cat([torch.ones(len(y), k), torch.full((len(y), k), -0.5)], 1),
    "no tensor": lambda y, _: y.tolist(),
}
bad_numbers = st.sampled_from([math.nan, math.inf, -math.inf, -1, -1e-9, 1e31, "1", None, [1.0]])
WRONG_OPTIONS = {
    "beta": bad_numbers,
    "temperature": bad_numbers | st.sampled_from([0, 0.0, 1e-31]),
    "gumbel": bad_numbers,
    "slope": bad_numbers,
    "weight_rule": st.sampled_from(["", "LABEL", "gait", None, 1]),
}


@half
@given(programmes(), st.data())
def test_solve_refuses_by_name(programme, data):
    pi, y, _, options = programme
    wrong = data.draw(st.sampled_from(["pi", "labels", *WRONG_OPTIONS]))
    if wrong == "pi":
        spoilt = pi.flatten().clone()
        spoilt[data.draw(st.integers(0, len(spoilt) - 1))] = data.draw(
            st.sampled_from([math.nan, math.inf, -math.inf])
        )
        pi = data.draw(
            st.sampled_from([spoilt.view_as(pi), pi[0], pi[None], pi[:0], pi[:, :0], pi[0, 0]])
        )
    elif wrong == "labels":
        make = WRONG_LABELS[data.draw(st.sampled_from(sorted(WRONG_LABELS)))]
        y = make(y, pi.shape[1])
    else:
        options |= {wrong: data.draw(WRONG_OPTIONS[wrong])}
    with pytest.raises(ValueError, match=f"^{wrong}: .* expected, got "):
        saflex.solve(pi, y, **options)


@half
@given(seeds, sizes, sizes, st.floats(-30, 30), st.fixed_dictionaries(OPTIONS), st.booleans())
def test_solve_of_any_size_is_on_the_simplex(seed, batch, classes, size, options, soft):
    random = np.random.default_rng(seed)
    pi = torch.from_numpy(random.normal(size=(batch, classes)) * 10.0**size).float()
    options |= {"temperature": 10 ** random.uniform(-30, 30), "beta": 10 ** random.uniform(-30, 30)}
    weights, labels = saflex.solve(pi, labels_of(random, batch, classes, soft), **options)
    torch.testing.assert_close(labels.sum(1), torch.ones(batch))
    assert (labels >= 0).all()
    assert (weights >= 0).all()
    tiny = options["weight_rule"] == "positive" and size < -27
    assert tiny or not weights.any() or abs(float(weights.sum()) - 1) < 1e-5


# ---- inner products ------------------------------------------------------------------------------
ACTIVATIONS = nn.Tanh, nn.GELU, nn.Softplus, nn.SiLU, nn.Identity
NORMS = nn.Identity, nn.LayerNorm, lambda n: nn.BatchNorm1d(n, track_running_stats=False)


class Net(nn.Module):
    """A few linear layers with activations, norms and dropout, one weight used twice."""

    def __init__(self, features, hidden, classes, depth, activation, norm, shared, drop, bias):
        super().__init__()
        self.first = nn.Linear(features, hidden, bias)
        self.body = nn.ModuleList(nn.Linear(hidden, hidden) for _ in range(depth))
        self.norm, self.act, self.shared = NORMS[norm](hidden), ACTIVATIONS[activation](), shared
        self.drop, self.head = nn.Dropout(drop), nn.Linear(hidden, classes, bias)

    def forward(self, x):
        x = self.act(self.norm(self.first(x)))
        for layer in self.body:
            x = self.act(layer(x))
            if self.shared:
                x = x + layer(x)
        return self.head(self.drop(x))


drops = st.sampled_from([0.0, 0.0, 0.5])


@st.composite
def tasks(draw, least=1):
    """A float64 network, an augmented and a validation batch, and a numpy generator."""
    seed, batch, classes = draw(seeds), draw(st.integers(2, 6)), draw(st.integers(least, 5))
    features, hidden, depth = draw(sizes), draw(sizes), draw(st.integers(0, 2))
    kind = (*map(draw, (st.integers(0, 4), st.integers(0, 2), st.booleans())), draw(drops))
    torch.manual_seed(seed)
    model = Net(features, hidden, classes, depth, *kind, draw(st.booleans())).double()
    random = np.random.default_rng(seed)
    x, x_val = (torch.from_numpy(random.normal(size=(n, features))) for n in (batch, 8))
    val = x_val, labels_of(random, 8, classes, draw(st.booleans()))
    return model, x, labels_of(random, batch, classes, draw(st.booleans())), val, random


SPACE = {
    "logits": lambda z: z,
    "log_probs": lambda z: z.log_softmax(1),
    "probs": lambda z: z.softmax(1),
}


def jacobian(model, x, direction, space="logits"):
    """-sum_j d space(z)_ik / d theta_j d_j, by the whole Jacobian."""
    theta = {n: p.detach() for n, p in model.named_parameters()}

    def outputs(part):
        return SPACE[space](functional_call(model, theta | part, (x,)))

    whole = alike(jacrev(outputs), {n: theta[n] for n in direction})
    return -sum((whole[n] * d).flatten(2).sum(2) for n, d in direction.items())


def alike(function, *arguments):
    """A call that leaves torch's random state, so that dropout has the same mask in each."""
    with torch.random.fork_rng(devices=[]):
        return function(*arguments)


def direction_of(model, random, chosen):
    named = {n: p for n, p in model.named_parameters() if n in chosen}
    return {n: torch.from_numpy(random.normal(size=tuple(p.shape))) for n, p in named.items()}


def traces(model):
    state = [*model.state_dict().values(), torch.get_rng_state()]
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    return [t.clone() for t in state + grads]


class Untouched:
    """The model, its gradients and torch's random state are as before."""

    def __init__(self, model):
        self.model, self.before = model, traces(model)

    def __enter__(self):
        pass

    def __exit__(self, *_):
        after = traces(self.model)
        assert len(after) == len(self.before)
        assert all(map(torch.equal, self.before, after))


def close(got, expected, how="jvp"):
    scale = 1 + expected.abs().max().item()
    rounding = {"lookahead": 1e-3}.get(how, 1e-8) * scale
    torch.testing.assert_close(got, expected, rtol=0, atol=rounding)


@fuzz
@given(tasks(), st.data())
def test_inner_products_are_the_jacobians(task, data):
    model, x, _, _, random = task
    how, space = (data.draw(st.sampled_from(c)) for c in (saflex.HOWS, saflex.SPACES))
    names = [n for n, _ in model.named_parameters()]
    heads = [n for n in names if n.startswith("head.")]
    chosen = data.draw(st.lists(st.sampled_from(names), min_size=1, unique=True))
    chosen = heads if how == "head" and data.draw(st.booleans()) else chosen
    d = direction_of(model, random, chosen)
    with Untouched(model):
        got = saflex.inner_products(model, x, d, space, how)
    close(got, jacobian(model, x, d, space), how)


@half
@given(tasks(), st.data())
def test_inner_products_refuse_by_name(task, data):
    model, x, _, _, random = task
    d = direction_of(model, random, [n for n, _ in model.named_parameters()])
    name = data.draw(st.sampled_from(sorted(d)))
    spoilt = torch.full_like(d[name], data.draw(st.sampled_from([math.nan, math.inf])))
    wrong, options = data.draw(
        st.sampled_from(
            [
                ("direction", {"direction": {}}),
                ("direction", {"direction": {"nobody": d[name]}}),
                ("direction", {"direction": d | {name: d[name][None]}}),
                ("direction", {"direction": d | {name: spoilt}}),
                ("space", {"space": "prob"}),
                ("how", {"how": "Head"}),
                ("epsilon", {"epsilon": 0.0}),
                ("epsilon", {"epsilon": -1.0}),
                ("epsilon", {"epsilon": 1e-30, "how": "lookahead"}),
                ("inputs, forward", {"forward": lambda m, x: m(x)[0]}),
                ("inputs, forward", {"forward": lambda m, x: m(x)[:0]}),
                ("inputs, forward", {"forward": lambda m, x: None}),
            ]
        )
    )
    with Untouched(model), pytest.raises(ValueError, match=f"^{wrong}: .* expected, got "):
        saflex.inner_products(model, x, **({"direction": d} | options))


# ---- SAFLEX --------------------------------------------------------------------------------------
OPTIMISERS = {
    "none": None,
    "sgd": lambda p: torch.optim.SGD(p, 0.1),
    "momentum": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, dampening=0.3, weight_decay=0.1),
    "nesterov": lambda p: torch.optim.SGD(p, 0.1, momentum=0.8, nesterov=True),
    "adam": lambda p: torch.optim.Adam(p, 0.01, weight_decay=0.1),
    "adamw": lambda p: torch.optim.AdamW(p, 0.02, betas=(0.8, 0.9), amsgrad=True),
}


def own_step(model, optimizer, g):
    """What the optimiser, its momentum and decay set to 0, takes off on the gradient g."""
    model, optimizer = copy.deepcopy((model, optimizer))
    for group in optimizer.param_groups:
        group["weight_decay"] = 0
        for p in group["params"]:
            for name in ("momentum_buffer", "exp_avg"):
                if optimizer.state[p].get(name) is not None:
                    optimizer.state[p][name].zero_()
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    for n, p in model.named_parameters():
        p.grad = g[n].clone() if n in g else None
    optimizer.step()
    return {n: before[n] - p.detach() for n, p in model.named_parameters() if n in g}


def reference(model, optimizer, x, y_aug, val, o):
    """Pi and reliability of `saflex.SAFLEX` with options o, by Jacobians."""
    names = [n for n, _ in model.named_parameters() if o["scope"] == "all" or n.startswith("head.")]
    z, parts = alike(model, x).detach(), []
    p = z.softmax(1)
    for part in zip(*(t.tensor_split(1 + o["shrink"]) for t in val), strict=True):
        loss = F.cross_entropy(alike(model, part[0]), part[1])
        held = dict(model.named_parameters())
        g = dict(zip(names, torch.autograd.grad(loss, [held[n] for n in names]), strict=True))
        pi = o["sign"] * jacobian(model, x, own_step(model, optimizer, g) if optimizer else g)
        pi = pi - pi.mean(0) if o["centre"] else pi
        derivative = {
            "logits": torch.eye(pi.shape[1]).double().expand(len(pi), -1, -1),
            "log_probs": torch.eye(pi.shape[1]).double() - p[:, None, :],
            "probs": torch.diag_embed(p) - p[:, :, None] * p[:, None, :],
        }[o["space"]]
        pi = torch.einsum("ikl,il->ik", derivative, pi)
        sizes = (torch.eye(pi.shape[1]).double() - p[:, None, :]).norm(dim=2)
        assume(sizes.min() > 2e-3 or not o["normalise"])
        parts.append(pi / sizes if o["normalise"] else pi)
    pi, reliability = sum(parts) / len(parts), 1.0
    if o["unit_scale"]:
        assume(pi.abs().max() > 1e-6)
        pi = pi / pi.square().mean().sqrt()
    if o["shrink"]:
        one_hot = y_aug if y_aug.dim() == 2 else F.one_hot(y_aug, pi.shape[1])
        scores = torch.stack([(part * one_hot).sum(1) for part in parts])
        assume((scores - scores.mean(1, keepdim=True)).norm(dim=1).min() > 1e-3)
        reliability = max(0.0, np.corrcoef(scores.numpy())[0, 1])
    return reliability * pi, reliability


SWITCHES = ("centre", "normalise", "unit_scale", "shrink")
REFINER = {
    **OPTIONS,
    "gumbel": st.just(0.0),
    "temperature": st.floats(0.1, 10),
    "beta": st.floats(0, 3),
    "slope": st.floats(0, 3),
    "space": st.sampled_from(saflex.SPACES),
    "how": st.sampled_from(["jvp", "lookahead"]),
    "scope": st.sampled_from(["all", "head"]),
    "sign": st.sampled_from([1, -1]),
    **dict.fromkeys(SWITCHES, st.booleans()),
}


@fuzz
@given(tasks(2), st.fixed_dictionaries(REFINER), st.sampled_from(sorted(OPTIMISERS)), st.data())
def test_the_refiner_is_its_parts(task, options, kind, data):
    model, x, y_aug, val, _ = task
    optimizer = OPTIMISERS[kind] and OPTIMISERS[kind](model.parameters())
    for _ in range(data.draw(st.integers(0, 2)) if optimizer else 0):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y_aug).backward()
        optimizer.step()
    logits = model(x) if not model.drop.p and data.draw(st.booleans()) else None
    pi, reliability = reference(model, optimizer, x, y_aug, val, options)
    refine = saflex.SAFLEX(model, optimizer=optimizer, **options)
    with Untouched(model):
        refined = refine(x, y_aug, val=val, logits=logits)
    exact = "jvp" if options["scope"] == "head" else options["how"]
    amplified = "lookahead" if exact == "lookahead" else "jvp"
    close(refined.inner_products, pi, amplified)
    close(refined.reliability, torch.tensor(reliability).double(), amplified)
    solving = {k: options[k] for k in OPTIONS}
    pi = refined.inner_products.numpy()
    expected = by_hand(pi, y_aug.numpy(), np.zeros_like(pi), **solving)
    assume(expected is not None)
    for got, part in zip((refined.weights, refined.labels), expected, strict=True):
        close(got, torch.from_numpy(part))


@half
@given(tasks(2), st.data())
def test_the_refiner_refuses_by_name(task, data):
    model, x, y_aug, (x_val, y_val), _ = task
    loss = F.cross_entropy(model(x_val), y_val)
    classes = y_aug.shape[1] if y_aug.dim() == 2 else int(model(x).shape[1])
    right = {"val": (x_val, y_val)}
    nan = torch.full_like(x_val, math.nan)
    wrong, options, call = data.draw(
        st.sampled_from(
            [
                *((name, {name: data.draw(value)}, right) for name, value in WRONG_OPTIONS.items()),
                ("space", {"space": "p"}, right),
                ("how", {"how": "fast"}, right),
                ("sign", {"sign": 0}, right),
                ("epsilon", {"epsilon": data.draw(bad_numbers.filter(bool))}, right),
                ("scope", {"scope": "hea"}, right),
                ("scope", {"scope": []}, right),
                ("optimizer", {"optimizer": torch.optim.RMSprop(model.parameters())}, right),
                ("val", {}, {}),
                ("val", {}, {**right, "val_loss": loss}),
                ("val_loss", {"shrink": True}, {"val_loss": loss}),
                ("loss", {}, {"val_loss": loss.detach()}),
                ("loss", {}, {"val_loss": loss * math.inf}),
                ("loss", {}, {"val": (nan, y_val)}),
                ("labels", {}, {"val": (x_val, torch.full((8,), classes))}),
                ("labels", {}, {"val": (x_val, torch.full((8, classes), 0.9))}),
            ]
        )
    )
    with Untouched(model), pytest.raises(ValueError, match=f"^{wrong}: .* expected, got "):
        saflex.SAFLEX(model, **options)(x, y_aug, **call)
