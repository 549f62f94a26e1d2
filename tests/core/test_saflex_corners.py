"""Models and inputs that once gave wrong values silently: the right value, or a ValueError."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

import saflex

Y = torch.tensor([0, 1, 2, 0, 1, 2])
BOTH = pytest.mark.parametrize("how", ["jvp", "lookahead"])


def mlp(dtype=torch.float64, norm=False):
    torch.manual_seed(0)
    layers = [nn.Linear(4, 8), nn.BatchNorm1d(8) if norm else nn.Identity(), nn.Tanh()]
    return nn.Sequential(*layers, nn.Linear(8, 3)).to(dtype)


def inputs(dtype=torch.float64, n=6, seed=1):
    return torch.randn(n, 4, generator=torch.Generator().manual_seed(seed)).to(dtype)


def direction_of(model, seed=2):
    generator = torch.Generator().manual_seed(seed)
    draw = {n: torch.randn(p.shape, generator=generator) for n, p in model.named_parameters()}
    return {n: t.to(p) for (n, t), p in zip(draw.items(), model.parameters(), strict=True)}


def by_jacobian(model, x, direction, forward=None):
    """Pi of the logits from torch.autograd.functional."""
    names = [*direction]

    def z(*theta):
        theta = dict(zip(names, theta, strict=True))
        if forward is None:
            return torch.func.functional_call(model, theta, (x,))
        host = nn.Module()
        host.model, host.forward = model, lambda: forward(model, x)
        return torch.func.functional_call(host, {f"model.{n}": t for n, t in theta.items()}, ())

    theta = tuple(p.detach() for n, p in model.named_parameters() if n in direction)
    rows = torch.autograd.functional.jacobian(z, theta)
    moves = (direction[n] for n, p in model.named_parameters() if n in direction)
    return -sum((j * t).flatten(2).sum(2) for j, t in zip(rows, moves, strict=True))


def check(model, x, how, forward=None, direction=None, reference=None, **tolerance):
    direction = direction or direction_of(model)
    found = saflex.inner_products(model, x, direction, "logits", how, forward)
    expected = by_jacobian(reference or model, x, direction, forward)
    torch.testing.assert_close(found, expected, **(tolerance or {"rtol": 1e-4, "atol": 1e-4}))


def linear(model, direction):
    named = dict(model.named_parameters())
    return sum((t * named[n]).sum() for n, t in direction.items())


# --- compiled code --------------------------------------------------------------------------------
@BOTH
def test_forward_that_calls_a_compiled_function(how):
    model, x = mlp(), inputs()
    function = torch.compile(lambda m, x: m(x), backend="aot_eager")
    direction = direction_of(model)
    expected = by_jacobian(model, x, direction)
    found = saflex.inner_products(model, x, direction, "logits", how, function)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", ["wrapped", "in place"])
@pytest.mark.parametrize("given", ["val", "losses"])
@BOTH
def test_compiled_models_with_shrink(kind, given, how):
    torch._dynamo.reset()
    x, y, x_val, y_val = inputs(), Y, inputs(n=8, seed=3), Y.repeat(2)[:8]
    results = []
    for compiled in (False, True):
        model = mlp()
        net = torch.compile(model, backend="aot_eager") if compiled and kind == "wrapped" else model
        if compiled and kind == "in place":
            model.compile(backend="aot_eager")
        optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
        refine = saflex.SAFLEX.calibrated(net, optimizer, how=how)
        for _ in range(2):
            logits = net(x)
            if given == "val":
                refined = refine(x, y, val=(x_val, y_val), logits=logits)
            else:
                halves = zip(x_val.chunk(2), y_val.chunk(2), strict=True)
                losses = [F.cross_entropy(net(a), b) for a, b in halves]
                refined = refine(x, y, losses, logits=logits)
            optimizer.zero_grad()
            saflex.soft_cross_entropy(logits, refined.labels, refined.weights).backward()
            optimizer.step()
        results.append(refined)
    torch.testing.assert_close(vars(results[1]), vars(results[0]), rtol=1e-3, atol=1e-3)


def test_two_losses_of_one_pass():
    """A pass can be differentiated once."""
    model, x = mlp(), inputs()
    refine = saflex.SAFLEX(model, shrink=True, gumbel=0)
    z = model(inputs(n=8, seed=3))
    halves = zip(z.chunk(2), Y.repeat(2)[:8].chunk(2), strict=True)
    losses = [F.cross_entropy(*half) for half in halves]
    with pytest.raises(ValueError, match=r"loss: val=\(x, y\) or a pass apart expected, got"):
        refine(x, Y, losses)


# --- losses and labels ----------------------------------------------------------------------------
@pytest.mark.parametrize("other", [lambda m: mlp(), copy.deepcopy])
def test_loss_of_another_model(other):
    model = mlp()
    loss = F.cross_entropy(other(model)(inputs()), Y)
    with pytest.raises(ValueError, match=r"loss: .*scalar, made from.*0\.weight"):
        saflex.validation_gradient(model, loss)
    with pytest.raises(ValueError, match=r"loss: .*scalar, made from"):
        saflex.SAFLEX(model, scope="head")(inputs(), Y, loss)


def test_frozen_models_are_refused():
    model = mlp().requires_grad_(False)
    with pytest.raises(ValueError, match=r"scope: .*trainable parameters"):
        saflex.SAFLEX(model)
    loss = F.cross_entropy(mlp()(inputs()), Y)
    with pytest.raises(ValueError, match=r"loss: .*scalar, made from"):
        saflex.validation_gradient(model, loss)


def test_soft_cross_entropy_takes_classes_and_refuses_other_shapes():
    z, w = torch.randn(3, 3), torch.rand(3)
    expected = (w * F.cross_entropy(z, torch.arange(3), reduction="none")).sum()
    torch.testing.assert_close(saflex.soft_cross_entropy(z, torch.arange(3), w), expected)
    eye = torch.eye(3)
    for labels, weights, message in (
        (torch.arange(3) + 1, w, r"labels: .*int64 in \[0, 3\).*\[1, 2, 3\]"),
        (eye.long(), w, r"labels: .*int64.*rows.*got \(3, 3\) torch.int64: \[1, 0, 0"),
        (eye[:2], w, r"labels: .*\(3, 3\) rows.*got .*1\."),
        (eye, w[:, None], r"weights: .*\(B,\).*got .*\[3, 1\]"),
        (eye, w[:2], r"weights: .*\(B,\).*got .*\[2\]"),
    ):
        with pytest.raises(ValueError, match=message):
            saflex.soft_cross_entropy(z, labels, weights)
    with pytest.raises(ValueError, match=r"logits, weights: \(B, K\).*\[0, 3\]"):
        saflex.soft_cross_entropy(z[:0], eye[:0], w[:0])


def test_label_0_at_a_logit_of_minus_infinity():
    z = torch.tensor([[-torch.inf, 0.0, 1.0]], requires_grad=True)
    y = torch.tensor([[0.0, 1.0, 0.0]])
    loss = saflex.soft_cross_entropy(z, y, torch.ones(1))
    torch.testing.assert_close(loss, F.cross_entropy(z[:, 1:], torch.tensor([0])))
    loss.backward()
    torch.testing.assert_close(z.grad, z.detach().softmax(1) - y)
    infinite = saflex.soft_cross_entropy(z.detach(), torch.tensor([[0.1, 0.9, 0]]), torch.ones(1))
    assert infinite == torch.inf


def test_contrastive_shapes():
    a = torch.randn(4, 3)
    for x, y in ((a, a[:3]), (a, a[:, :2]), (a[0], a[0])):
        with pytest.raises(ValueError, match=r"a, b: two of one shape \(B, d\)"):
            saflex.contrastive_logits(x, y, 1.0)


# --- numbers --------------------------------------------------------------------------------------
BAD = [
    (key, value)
    for key in ("beta", "gumbel", "slope", "temperature", "epsilon")
    for value in (math.nan, math.inf, -math.inf, -1.0, 1e40, "1")
] + [("temperature", 0), ("temperature", 1e-50), ("epsilon", 0), ("epsilon", 1e-50)]


@pytest.mark.parametrize(("key", "value"), BAD)
def test_numbers_that_are_none(key, value):
    model, x = mlp(), inputs()
    with pytest.raises(ValueError, match=f"{key}: a number from"):
        saflex.SAFLEX(model, **{key: value})
    with pytest.raises(ValueError, match=f"{key}: a number from"):
        if key == "epsilon":
            saflex.inner_products(model, x, direction_of(model), how="lookahead", epsilon=value)
        else:
            saflex.solve(torch.zeros(6, 3), Y, **{key: value})


def test_unknown_options_are_refused_and_the_sign_is_1_or_minus_1():
    with pytest.raises(TypeError, match="temprature"):
        saflex.SAFLEX(mlp(), temprature=1.0)
    with pytest.raises(ValueError, match=r"sign: one of \(1, -1\) expected, got 0"):
        saflex.SAFLEX(mlp(), sign=0)


@pytest.mark.parametrize("size", [0.0, 1e-45, 1.0, 3e38])
@pytest.mark.parametrize("number", [0.0, 1e-30, 1e30])
@pytest.mark.parametrize("temperature", [1e-30, 1.0, 1e30])
def test_labels_are_never_nan(size, number, temperature):
    pi = size * torch.tensor([[1.0, -1.0, 0.5], [-1.0, 1.0, 1.0]])
    weights, labels = saflex.solve(
        pi, torch.tensor([0, 1]), number, temperature, number, "gate", slope=number
    )
    torch.testing.assert_close(labels.sum(1), torch.ones(2))
    assert not weights.isnan().any()


def test_steps_that_rounding_swallows():
    model, x = mlp(torch.float32), inputs(torch.float32)
    for epsilon in (1e-30, 1e-10):
        with pytest.raises(ValueError, match=r"epsilon: .*rounding.*got 1e-"):
            saflex.inner_products(model, x, direction_of(model), how="lookahead", epsilon=epsilon)


@pytest.mark.parametrize("how", ["jvp", "lookahead", "head"])
def test_no_direction_at_all(how):
    model, x = mlp(), inputs()
    zero = {n: 0 * t for n, t in direction_of(model).items() if n.startswith("3.")}
    assert not saflex.inner_products(model, x, zero, how=how).any()


@BOTH
def test_directions_along_which_nothing_moves(how):
    model = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3)).double()
    nn.init.constant_(model[0].bias, -100.0)
    dead = {"0.weight": torch.ones(5, 4).double()}
    assert not saflex.inner_products(model, inputs(), dead, "logits", how).any()
    normed = mlp(norm=True)
    bias = {"0.bias": torch.ones(8).double()}
    found = saflex.inner_products(normed, inputs(), bias, "logits", how)
    torch.testing.assert_close(found, torch.zeros_like(found), atol=1e-6, rtol=0)


@BOTH
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_zero_initialised_head(how, dtype):
    model = mlp(dtype)
    nn.init.zeros_(model[3].weight), nn.init.zeros_(model[3].bias)
    along = {n: t for n, t in direction_of(model).items() if n.startswith("3.")}
    check(model, inputs(dtype), how, direction=along, rtol=1e-3, atol=1e-3)


@BOTH
def test_a_direction_of_another_dtype(how):
    model, x = mlp(torch.float32), inputs(torch.float32)
    direction = direction_of(model)
    double = {n: t.double() for n, t in direction.items()}
    torch.testing.assert_close(
        saflex.inner_products(model, x, double, how=how),
        saflex.inner_products(model, x, direction, how=how),
    )


# --- models ---------------------------------------------------------------------------------------
@BOTH
def test_data_parallel(how):
    model, x = mlp(), inputs()
    found = saflex.inner_products(nn.DataParallel(model), x, direction_of(model), "logits", how)
    torch.testing.assert_close(
        found, by_jacobian(model, x, direction_of(model)), rtol=1e-4, atol=1e-4
    )


class Output:
    def __init__(self, logits):
        self.logits = logits


class Wrapped(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.inner, self.kind = mlp(), kind

    def forward(self, x):
        z = self.inner(x["x"] if isinstance(x, dict) else x)
        return {"tuple": (z, None), "object": Output(z), "tensor": z}[self.kind]


@BOTH
def test_outputs_that_are_no_tensor_need_forward(how):
    x = inputs()
    for kind, forward in (
        ("tuple", lambda m, x: m(x)[0]),
        ("object", lambda m, x: m(x).logits),
    ):
        model = Wrapped(kind)
        with pytest.raises(ValueError, match=r"forward: \(B, K\) logits.*"):
            saflex.inner_products(model, x, direction_of(model), how=how)
        with pytest.raises(ValueError, match=r"forward: \(B, K\) logits"):
            saflex.SAFLEX(model, how=how)(x, Y, val=(x, Y))
        check(model, x, how, forward)


@BOTH
def test_inputs_that_are_dicts(how):
    model, x, x_val = Wrapped("tensor"), {"x": inputs(), "note": "kept"}, inputs(n=8, seed=3)
    y_val = Y.repeat(2)[:8]
    refine, plain = (saflex.SAFLEX(model, how=how, shrink=True, gumbel=0) for _ in range(2))
    found = refine(x, Y, val=({"x": x_val, "note": "kept"}, y_val))
    halves = zip(x_val.chunk(2), y_val.chunk(2), strict=True)
    expected = plain(inputs(), Y, [F.cross_entropy(model(a), b) for a, b in halves])
    torch.testing.assert_close(vars(found), vars(expected))
    keywords = saflex.SAFLEX(
        model, how=how, shrink=True, gumbel=0, forward=lambda m, x: m(**{"x": x["x"]})
    )
    found = keywords(x, Y, val=({"x": x_val}, y_val))
    torch.testing.assert_close(vars(found), vars(expected))


def test_inference_mode_is_refused():
    model, x = mlp(), inputs()
    with torch.inference_mode():
        for how in saflex.HOWS[:2]:
            with pytest.raises(ValueError, match="inference mode"):
                saflex.inner_products(model, x, direction_of(model), how=how)
        with pytest.raises(ValueError, match="inference mode"):
            saflex.SAFLEX(model)(x, Y, val=(x, Y))


@BOTH
def test_no_grad_does_not_matter(how):
    model, x = mlp(), inputs()
    expected = saflex.SAFLEX(model, how=how, gumbel=0)(x, Y, val=(x, Y))
    with torch.no_grad():
        found = saflex.SAFLEX(model, how=how, gumbel=0)(x, Y, val=(x, Y))
    torch.testing.assert_close(vars(found), vars(expected))


class Checkpointed(nn.Module):
    def __init__(self, reentrant):
        super().__init__()
        self.stem, self.body, self.head = nn.Linear(4, 8), nn.Linear(8, 8), nn.Linear(8, 3)
        self.norm, self.reentrant = nn.BatchNorm1d(8), reentrant

    def forward(self, x):
        h = self.stem(x).tanh()
        block = lambda h: self.norm(self.body(h)).tanh()  # noqa: E731
        h = (
            block(h)
            if self.reentrant is None
            else checkpoint(block, h, use_reentrant=self.reentrant)
        )
        return self.head(h)


@BOTH
@pytest.mark.parametrize("reentrant", [True, False])
@pytest.mark.parametrize("scope", ["all", ["body", "norm"]])
def test_checkpointing(how, reentrant, scope):
    torch.manual_seed(0)
    plain = Checkpointed(None).double()
    model = copy.deepcopy(plain)
    model.reentrant = reentrant
    x, x_val = inputs(), inputs(seed=5)
    results = []
    for m in (plain, model):
        held = copy.deepcopy(m.state_dict())
        refine = saflex.SAFLEX(m, how=how, scope=scope, gumbel=0, space="logits")
        results.append(vars(refine(x, Y, val=(x_val, Y))))
        torch.testing.assert_close(dict(m.state_dict()), dict(held), rtol=0, atol=0)
    torch.testing.assert_close(results[1], results[0])
    held = copy.deepcopy(model.norm.running_mean)
    loss = F.cross_entropy(model(x_val), Y)
    model.norm.running_mean.copy_(held)
    refine = saflex.SAFLEX(model, how=how, scope=scope, gumbel=0, space="logits")
    if reentrant:
        with pytest.raises(ValueError, match=r"loss: .*with use_reentrant=False"):
            refine(x, Y, loss)
    else:
        torch.testing.assert_close(vars(refine(x, Y, loss)), results[0])
    torch.testing.assert_close(model.norm.running_mean, held, rtol=0, atol=0)


def autocast(enabled=True):
    return torch.autocast("cpu", torch.bfloat16, enabled=enabled)


@pytest.mark.parametrize(("how", "scope"), [("jvp", "all"), ("lookahead", "all"), ("jvp", "head")])
@pytest.mark.parametrize("given", [True, False])
def test_steps_within_one_autocast(how, scope, given):
    """Weights that autocast has cast in an earlier step are not those of this one."""
    x, x_val = inputs(torch.float32), inputs(torch.float32, seed=3)
    results = []
    for outer in (True, False):
        model, found = mlp(torch.float32), []
        refine = saflex.SAFLEX(model, how=how, scope=scope, gumbel=0, space="logits")
        with autocast(outer):
            model(x)
            for _ in range(2):
                with torch.no_grad():
                    for n, t in direction_of(model).items():
                        model.get_parameter(n).add_(t, alpha=0.1)
                torch.clear_autocast_cache() if given else None
                with autocast():
                    logits = model(x) if given else None
                    found.append(refine(x, Y, val=(x_val, Y), logits=logits).inner_products)
        results.append(torch.stack(found))
    assert not torch.allclose(results[0][0], results[0][1], rtol=0.01)
    torch.testing.assert_close(*results)


class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    def backward(ctx, g):
        return 2 * ctx.saved_tensors[0] * g


def test_functions_without_forward_mode_name_look_ahead():
    model, x = mlp(), inputs()
    forward = lambda m, x: Square.apply(m(x))  # noqa: E731
    with pytest.raises(ValueError, match=r"how: 'lookahead' expected, got 'jvp'"):
        saflex.inner_products(model, x, direction_of(model), forward=forward)
    check(model, x, "lookahead", forward)


class Hidden(nn.Module):
    """Its outputs depend on a parameter by a view that was taken before."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 4).double())
        self.views = [self.weight[:]]

    def forward(self, x):
        return x @ self.views[0].T


@BOTH
def test_a_tangent_that_is_lost_is_not_taken_for_zero(how):
    model = Hidden()
    with pytest.raises(ValueError, match=r"model: parameters that are read from its modules"):
        saflex.inner_products(model, inputs(), direction_of(model), how=how)


@BOTH
def test_recurrent_networks(how):
    torch.manual_seed(0)
    model, x = nn.LSTM(4, 3, batch_first=True).double(), torch.randn(6, 5, 4).double()
    check(model, x, how, lambda m, x: m(x)[0][:, -1])


@BOTH
def test_sizes_and_strides(how):
    model = mlp()
    strided = inputs(n=12)[::2].T.contiguous().T
    assert not strided.is_contiguous()
    check(model, strided, how)
    check(model, inputs(n=1), how)
    single = nn.Linear(4, 1).double()
    weights, labels = (
        getattr(saflex.SAFLEX(single, how=how)(inputs(), Y * 0, val=(inputs(), Y * 0)), name)
        for name in ("weights", "labels")
    )
    torch.testing.assert_close(labels, torch.ones(6, 1).double())
    torch.testing.assert_close(weights, torch.full((6,), 1 / 6).double())
    with pytest.raises(ValueError, match=r"inputs, forward: .*\[0, 3\]"):
        saflex.SAFLEX(model, how=how)(inputs()[:0], Y[:0], val=(inputs(), Y))


@pytest.mark.parametrize("scope", [["nosuch"], ["0", "nosuch"], ["3.weigh"], []])
def test_scopes_that_name_nothing(scope):
    with pytest.raises(ValueError, match=r"scope: .*trainable parameters.*0\.weight"):
        saflex.scope_names(mlp(), scope)
    frozen = mlp()
    frozen[0].requires_grad_(False)
    with pytest.raises(ValueError, match=r"scope: .*'0'"):
        saflex.scope_names(frozen, ["0", "3"])


def test_validation_arguments():
    model, x, refine = mlp(), inputs(), saflex.SAFLEX(mlp(), shrink=True)
    loss = F.cross_entropy(model(x), Y)
    for given in ({}, {"val_loss": [loss, loss], "val": (x, Y)}):
        with pytest.raises(ValueError, match=r"val: it or val_loss expected, got both or none"):
            refine(x, Y, **given)
    for y in (Y + 1, Y[:4], Y.float(), [0, 1]):
        with pytest.raises(ValueError, match=r"(labels|val): "):
            refine(x, Y, val=(x, y))
    with pytest.raises(ValueError, match=r"inputs, forward: .*\[0, 3\]"):
        refine(x, Y, val=(x[:1], Y[:1]))


def test_calibrated_is_the_reading_and_its_halves_can_be_used_apart():
    x, val = inputs(), (inputs(n=8, seed=3), Y.repeat(2)[:8])
    refined = []
    for i in range(2):
        model = mlp()
        optimizer = torch.optim.AdamW(model.parameters(), 1e-2)
        generator = torch.Generator().manual_seed(5)
        refine = saflex.SAFLEX.calibrated(model, optimizer, gumbel=0.5, generator=generator)
        assert refine.generator is generator
        if i:
            pi, reliability = refine.measure(x, Y, val=val, logits=model(x))
            refined.append(refine.solve(pi, Y, reliability))
        else:
            refined.append(refine(x, Y, val=val, logits=model(x)))
    torch.testing.assert_close(vars(refined[0]), vars(refined[1]), rtol=0, atol=0)
    assert 0 < refined[0].reliability < 1


@BOTH
@pytest.mark.parametrize("names", [["body", "norm"], ["body", "head"], ["stem", "body", "head"]])
def test_reentrant_checkpoints_do_not_hide_parameters(how, names):
    torch.manual_seed(0)
    model, x = Checkpointed(True).double(), inputs()
    plain = copy.deepcopy(model)
    plain.reentrant = None
    direction = {n: t for n, t in direction_of(model).items() if n.split(".")[0] in names}
    check(model, x, how, direction=direction, reference=plain)


# --- state ----------------------------------------------------------------------------------------
class Stateful(nn.Module):
    """Keeps state in every way that can be put back, and lets its output depend on it."""

    def __init__(self):
        super().__init__()
        self.stem, self.old = nn.Linear(4, 8), nn.Linear(8, 8)
        self.head = nn.Linear(8, 3)
        self.register_buffer("steps", torch.zeros(()))
        self.register_buffer("assigned", torch.zeros(()), persistent=False)
        self.calls, self.plain, self.last = 0, torch.zeros(()), None
        self.generator = torch.Generator().manual_seed(0)

    def forward(self, x):
        self.steps += 1
        self.assigned = self.assigned + 1
        self.calls += 1
        self.plain.add_(1)
        self.last = x
        self.train(not self.training)
        noise = torch.rand(len(x), 1, generator=self.generator).to(x) + torch.rand(())
        count = self.steps + self.assigned + self.calls + self.plain
        return self.head(self.old(self.stem(x)).tanh()) * noise * count

    def state(self):
        return [
            copy.deepcopy(self.state_dict()), self.assigned.clone(), self.calls, self.plain.clone(),
            self.generator.get_state(),
            [m.training for m in self.modules()], torch.get_rng_state(),
        ]  # fmt: skip


@pytest.mark.parametrize(("how", "scope"), [("jvp", "all"), ("lookahead", "all"), ("jvp", "head")])
@pytest.mark.parametrize("given", [True, False])
def test_state_is_put_back_and_counts_for_both_passes_alike(how, scope, given):
    torch.manual_seed(0)
    model, x = Stateful().double(), inputs()
    names = saflex.scope_names(model, scope)
    logits = model(x) if given else None
    before, last = model.state(), model.last
    direction = {n: t for n, t in direction_of(model).items() if n in names}
    refine = saflex.SAFLEX(model, how=how, scope=scope, gumbel=0, space="logits")
    found = refine(x, Y, linear(model, direction), logits=logits).inner_products
    refine(x, Y, val=(x, Y), logits=logits)
    after = model.state()
    assert dict(after[0]).keys() == dict(before[0]).keys()
    torch.testing.assert_close(after, before, rtol=0, atol=0)
    assert model.last is last
    if given and scope == "head":
        return  # features are those of the training pass
    z = []
    for sign in (1, -1):
        torch.manual_seed(0)
        twin = Stateful().double()
        twin.load_state_dict(before[0])
        twin.assigned, twin.calls, twin.plain = before[1].clone(), before[2], before[3].clone()
        twin.generator.set_state(before[4])
        for m, mode in zip(twin.modules(), before[5], strict=True):
            m.training = mode
        torch.set_rng_state(before[-1])
        with torch.no_grad():
            for n, t in direction.items():
                twin.get_parameter(n).add_(sign * 1e-6 * t)
            z.append(twin(x))
    torch.testing.assert_close(found, (z[1] - z[0]) / 2e-6, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kind", ["dropout", "spectral norm", "counter", "batch norm"])
def test_given_logits_serve_where_another_pass_would_give_the_same(kind):
    torch.manual_seed(0)
    first = nn.Linear(4, 8)
    if kind == "spectral norm":
        first = nn.utils.parametrizations.spectral_norm(first)
    between = nn.Dropout(0.5) if kind == "dropout" else nn.BatchNorm1d(8)
    model = nn.Sequential(first, between, nn.Tanh(), nn.Linear(8, 3)).double()
    if kind == "counter":
        model.register_buffer("steps", torch.zeros(()))

    passes, x = [], inputs()

    def forward(m, x):
        passes.append(1)
        if kind == "counter":
            m.steps += 1
        return m(x) * (m.steps if kind == "counter" else 1)

    refine = saflex.SAFLEX(model, how="lookahead", space="logits", forward=forward)
    direction = direction_of(model)
    loss = linear(model, direction)
    logits = forward(model, x)
    state = torch.get_rng_state()
    passes.clear()
    found = refine(x, Y, loss, logits=logits).inner_products
    assert len(passes) == (1 if kind == "batch norm" else 2)
    torch.set_rng_state(state)
    how = "lookahead" if kind == "spectral norm" else "jvp"
    expected = saflex.inner_products(model, x, direction, "logits", how, forward)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)


def test_given_logits_of_another_model_or_without_graph_do_not_serve():
    model, x = mlp(), inputs()
    refine = saflex.SAFLEX(model, how="lookahead", space="logits")
    direction = direction_of(model)
    exact = saflex.inner_products(model, x, direction, "logits")
    twin = copy.deepcopy(model)
    nn.init.ones_(twin[3].weight)
    for logits in (twin(x), model(x).detach() + 1, model(x).bfloat16().double()):
        found = refine(x, Y, linear(model, direction), logits=logits).inner_products
        torch.testing.assert_close(found, exact, rtol=1e-3, atol=1e-3)


def test_head_reads_its_input_from_the_graph():
    model, x, passes = mlp(), inputs(), []
    head = {n: t for n, t in direction_of(model).items() if n.startswith("3.")}
    expected = saflex.inner_products(model, x, head, "logits")
    refine = saflex.SAFLEX(model, scope="head", space="logits")
    model.register_forward_hook(lambda *_: passes.append(1))
    logits = model(x)
    found = refine(x, Y, linear(model, head), logits=logits).inner_products
    torch.testing.assert_close(found, expected)
    assert len(passes) == 1
    without = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3, bias=False)).double()
    head = {"2.weight": direction_of(without)["2.weight"]}
    refine = saflex.SAFLEX(without, scope="head", space="logits")
    found = refine(x, Y, linear(without, head), logits=without(x)).inner_products
    torch.testing.assert_close(found, by_jacobian(without, x, head))


class Transposed(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.weight = nn.Linear(4, 3), nn.Parameter(torch.randn(3, 3))
        self.bias = nn.Parameter(torch.zeros(3))

    def forward(self, x):
        return torch.addmm(self.bias, self.first(x).tanh(), self.weight)


@pytest.mark.parametrize("frozen", [[], ["3.weight"], ["3.bias"], ["0.weight"]])
def test_head_with_a_frozen_part(frozen):
    model, x = mlp(), inputs()
    for n in frozen:
        model.get_parameter(n).requires_grad_(False)
    refine = saflex.SAFLEX(model, scope="head", space="logits")
    direction = {n: direction_of(model)[n] for n in refine.names}
    found = refine(x, Y, linear(model, direction), logits=model(x)).inner_products
    torch.testing.assert_close(found, by_jacobian(model, x, direction))


def test_head_of_another_kind_than_linear():
    torch.manual_seed(0)
    model, x = Transposed().double(), inputs()
    refine = saflex.SAFLEX(model, scope=["weight", "bias"], how="head", space="logits")
    direction = {n: direction_of(model)[n] for n in refine.names}
    found = refine(x, Y, linear(model, direction), logits=model(x)).inner_products
    torch.testing.assert_close(found, by_jacobian(model, x, direction))


def test_look_ahead_of_a_model_whose_parameters_are_hidden_in_attributes_that_change():
    """A counter and a tensor in attributes: the given logits do not serve."""

    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.calls, self.sum, self.cache = mlp(), 0, torch.zeros(()), None

        def forward(self, x):
            self.calls, self.cache = self.calls + 1, x.sum()
            self.sum.add_(1)
            return self.inner(x) * self.calls * self.sum

    model, x = Counting(), inputs()
    direction = direction_of(model)
    logits = model(x)
    refine = saflex.SAFLEX(model, how="lookahead", space="logits")
    found = refine(x, Y, linear(model, direction), logits=logits).inner_products
    assert (model.calls, float(model.sum)) == (1, 1)
    expected = 4 * by_jacobian(model.inner, x, {n[6:]: t for n, t in direction.items()})
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)
