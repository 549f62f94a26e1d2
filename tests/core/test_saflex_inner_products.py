"""Pi against explicit Jacobians by reverse-mode autograd, and against finite differences."""

import operator

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import saflex


def mlp(batch, dtype=torch.float64):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3)).to(dtype)
    return model, torch.randn(batch, 4, dtype=dtype)


class Small(nn.Module):
    """Convolution, batch norm, dropout, a weight used twice."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.dropout = nn.Dropout(0.4)
        self.twice = nn.Linear(6, 6)
        self.head = nn.Linear(6, 4)

    def forward(self, x):
        h = self.dropout(self.norm(self.conv(x)).relu()).mean((2, 3))
        return self.head(self.twice(self.twice(h).tanh()).tanh())


class Attention(nn.Module):
    def __init__(self, layer=True):
        super().__init__()
        self.layer = (
            nn.TransformerEncoderLayer(8, 2, 16, dropout=0.3, batch_first=True) if layer else None
        )
        self.qkv = nn.Linear(8, 24)
        self.attend = nn.MultiheadAttention(8, 2, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        h = x if self.layer is None else self.layer(x)
        q, k, v = self.qkv(h).view(len(x), -1, 2, 12).transpose(1, 2).chunk(3, -1)
        h = h + F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        return self.head((h + self.attend(h, h, h, need_weights=False)[0]).mean(1))


def random_direction(model, names=None):
    generator = torch.Generator().manual_seed(1)
    return {
        n: torch.randn(p.shape, generator=generator, dtype=torch.float64).to(p)
        for n, p in model.named_parameters()
        if names is None or n in names
    }


def apply_space(z, space):
    return {"logits": z, "log_probs": z.log_softmax(1), "probs": z.softmax(1)}[space]


def by_jacobian(model, x, direction, space):
    """One backward pass for every sample and class."""
    named = dict(model.named_parameters())
    pi = torch.zeros_like(model(x))
    for i in range(pi.shape[0]):
        for k in range(pi.shape[1]):
            torch.manual_seed(7)
            output = apply_space(model(x), space)[i, k]
            grads = torch.autograd.grad(output, list(named.values()), allow_unused=True)
            for n, g in zip(named, grads, strict=True):
                if g is not None and n in direction:
                    pi[i, k] -= (g * direction[n]).sum()
    return pi


def by_differences(model, x, direction, space, e=1e-6):
    """Central differences from real moves of the parameters; the mask of dropout is fixed."""
    named, values = dict(model.named_parameters()), []
    buffers = {n: b.clone() for n, b in model.named_buffers()}
    with torch.no_grad():
        for step in (e, -2 * e):
            for n, d in direction.items():
                named[n].add_(step * d)
            torch.manual_seed(7)
            values.append(apply_space(model(x), space))
        for n, d in direction.items():
            named[n].add_(e * d)
        for n, b in model.named_buffers():
            b.copy_(buffers[n])
    return -(values[0] - values[1]) / (2 * e)


@pytest.mark.parametrize("space", saflex.SPACES)
def test_explicit_jacobian(space):
    model, x = mlp(5)
    d = random_direction(model)
    expected = by_jacobian(model, x, d, space)
    exact = saflex.inner_products(model, x, d, space)
    torch.testing.assert_close(exact, expected, rtol=1e-10, atol=1e-10)
    look = saflex.inner_products(model, x, d, space, how="lookahead")
    torch.testing.assert_close(look, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("space", saflex.SPACES)
def test_batch_norm_dropout_and_shared_use(train, space):
    torch.manual_seed(0)
    model = Small().double().train(train)
    x, d = torch.randn(6, 2, 5, 5).double(), random_direction(model)
    expected = by_differences(model, x, d, space)
    torch.testing.assert_close(by_jacobian(model, x, d, space), expected, rtol=1e-6, atol=1e-7)
    for how, tolerance in (("jvp", 1e-6), ("lookahead", 1e-4)):
        torch.manual_seed(7)
        pi = saflex.inner_products(model, x, d, space, how)
        torch.testing.assert_close(pi, expected, rtol=tolerance, atol=tolerance)


def test_tied_parameters_move_together():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4)).double()
    model[2].weight = model[0].weight
    x, d = torch.randn(3, 4).double(), random_direction(model)
    assert "2.weight" not in d
    expected = by_differences(model, x, d, "logits")
    for how in ("jvp", "lookahead"):
        pi = saflex.inner_products(model, x, d, "logits", how)
        torch.testing.assert_close(pi, expected, rtol=1e-6, atol=1e-6)
    assert saflex.scope_names(model, "head") == ["0.weight", "2.bias"]
    refiner = saflex.SAFLEX(model, scope="head", space="logits")
    head = {n: d[n] for n in ("0.weight", "2.bias")}
    loss = sum((t * model.get_parameter(n)).sum() for n, t in head.items())
    found = refiner(x, torch.zeros(3, dtype=torch.int64), loss, logits=model(x)).inner_products
    expected = by_differences(model, x, head, "logits")
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("train", [True, False])
def test_attention_of_every_kind(train):
    torch.manual_seed(0)
    model = Attention().double().train(train)
    x, d = torch.randn(3, 5, 8).double(), random_direction(model)
    expected = by_differences(model, x, d, "log_probs")
    for how in ("jvp", "lookahead"):
        torch.manual_seed(7)
        pi = saflex.inner_products(model, x, d, how=how)
        torch.testing.assert_close(pi, expected, rtol=1e-5, atol=1e-5)


def test_frozen_parameters_can_be_in_a_direction_or_not():
    torch.manual_seed(0)
    model = Small().double().eval()
    model.conv.requires_grad_(False)
    x = torch.randn(4, 2, 5, 5).double()
    g = saflex.validation_gradient(model, F.cross_entropy(model(x), torch.arange(4)))
    assert not any(n.startswith("conv") for n in g)
    for d in (g, random_direction(model)):
        expected = by_differences(model, x, d, "logits")
        torch.testing.assert_close(saflex.inner_products(model, x, d, "logits"), expected)


@pytest.mark.parametrize("names", [["head.weight", "head.bias"], ["head.weight"], ["head.bias"]])
def test_head_is_exact_for_the_heads_direction(names):
    torch.manual_seed(0)
    model = Small().double()
    x, d = torch.randn(4, 2, 5, 5).double(), random_direction(model, names)
    pi = []
    for how in ("head", "jvp"):
        torch.manual_seed(7)
        pi.append(saflex.inner_products(model, x, d, how=how))
    torch.testing.assert_close(*pi)
    torch.testing.assert_close(pi[0], by_differences(model, x, d, "log_probs"))


def test_head_is_exact_where_it_is_not_in_closed_form():
    model, x = mlp(3)
    for names in (None, ["0.weight", "2.bias"], ["0.weight", "0.bias"]):
        d = random_direction(model, names)
        pi = saflex.inner_products(model, x, d, how="head")
        torch.testing.assert_close(pi, by_jacobian(model, x, d, "log_probs"))


def test_head_of_a_model_that_changes_its_output_or_uses_it_twice():
    model, x = mlp(3)
    head = random_direction(model, ["2.weight"])
    found = saflex.inner_products(model, x, head, how="head", forward=lambda m, x: 2 * m(x) ** 2)
    exact = saflex.inner_products(model, x, head, forward=lambda m, x: 2 * m(x) ** 2)
    torch.testing.assert_close(found, exact)
    twice = Small().double().eval()
    twice.head = nn.Identity()
    x, direction = torch.randn(4, 2, 5, 5).double(), random_direction(twice, ["twice.weight"])
    refiner = saflex.SAFLEX(twice, scope="head", space="logits")
    loss = (direction["twice.weight"] * twice.twice.weight).sum()
    y = torch.zeros(4, dtype=torch.int64)
    found = refiner(x, y, loss, logits=twice(x)).inner_products
    torch.testing.assert_close(found, by_jacobian(twice, x, direction, "logits"))


@pytest.mark.parametrize("how", ["jvp", "lookahead"])
def test_float32_and_channels_last(how):
    torch.manual_seed(0)
    model = Small().eval()
    x, d = torch.randn(6, 2, 5, 5), random_direction(model)
    plain = saflex.inner_products(model, x, d, how=how)
    reference = by_differences(model.double(), x.double(), random_direction(model), "log_probs")
    assert plain.dtype == torch.float32
    assert (plain - reference).norm() < 0.01 * reference.norm()
    model = model.float().to(memory_format=torch.channels_last)
    last = saflex.inner_products(model, x.to(memory_format=torch.channels_last), d, how=how)
    assert (last - reference).norm() < 0.01 * reference.norm()


@pytest.mark.parametrize("how", ["jvp", "lookahead", "head"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_autocast_leaves_pi_in_full_precision(how, dtype):
    torch.manual_seed(0)
    model = Small().eval()
    d = random_direction(model, ["head.weight", "head.bias"] if how == "head" else None)
    x = torch.randn(6, 2, 5, 5).to(dtype)
    expected = saflex.inner_products(model, x.float(), d, how=how)
    with torch.autocast("cpu", torch.bfloat16):
        pi = saflex.inner_products(model, x, d, how=how)
    assert pi.dtype == torch.float32
    torch.testing.assert_close(pi, expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))


def test_settings_are_as_before():
    model, x = mlp(3, torch.float32)
    before = torch.get_float32_matmul_precision()
    try:
        for precision in ("highest", "high", "medium"):
            torch.set_float32_matmul_precision(precision)
            held = torch.backends.cuda.matmul.fp32_precision, torch.backends.cudnn.allow_tf32
            saflex.inner_products(model, x, random_direction(model), how="lookahead")
            assert torch.get_float32_matmul_precision() == precision
            after = torch.backends.cuda.matmul.fp32_precision, torch.backends.cudnn.allow_tf32
            assert after == held
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize("name", ["mkldnn.matmul", "mkldnn.conv", "cuda.matmul"])
def test_precision_set_kernel_by_kernel(name):
    """torch.get_float32_matmul_precision fails then."""
    model, x = mlp(3, torch.float32)
    direction = random_direction(model)
    expected = saflex.inner_products(model, x, direction, how="lookahead")
    kernels = operator.attrgetter(name)(torch.backends)
    before = kernels.fp32_precision
    try:
        kernels.fp32_precision = "tf32" if name.startswith("cuda") else "bf16"
        held = kernels.fp32_precision
        found = saflex.inner_products(model, x, direction, how="lookahead")
        loss = F.cross_entropy(model(x), torch.zeros(len(x), dtype=torch.int64))
        refiner = saflex.SAFLEX(model, how="lookahead")
        refiner(x, torch.zeros(len(x), dtype=torch.int64), loss, logits=model(x))
        assert kernels.fp32_precision == held
    finally:
        kernels.fp32_precision = before
    assert torch.equal(found, expected)


def test_look_ahead_takes_the_optimisers_own_finite_step():
    model, x = mlp(3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
    g = random_direction(model)
    pi = saflex.inner_products(
        model, x, saflex.optimizer_direction(model, g, optimizer), "logits", "lookahead", epsilon=1
    )
    with torch.no_grad():
        before = model(x)
        for n, p in model.named_parameters():
            p.add_(0.3 * g[n])
        torch.testing.assert_close(pi, before - model(x))


def test_compiled_models():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3))
    x, d = torch.randn(8, 4), random_direction(model)
    exact = saflex.inner_products(model, x, d)
    compiled = torch.compile(model, backend="aot_eager")
    compiled(x).sum().backward()
    buffers = {n: b.clone() for n, b in model.named_buffers()}
    for how in ("lookahead", "jvp"):
        pi = saflex.inner_products(compiled, x, d, how=how)
        assert (pi - exact).norm() < 0.01 * exact.norm()
    for n, b in model.named_buffers():
        assert torch.equal(b, buffers[n])


def test_compiled_models_are_not_compiled_again_at_every_step():
    from torch._dynamo.testing import CompileCounter

    torch.manual_seed(0)
    model, x = mlp(3, torch.float32)
    counter = CompileCounter()
    compiled = torch.compile(model, backend=counter)
    counts = []
    for _ in range(4):
        logits = compiled(x)
        refiner = saflex.SAFLEX(compiled, how="lookahead")
        loss = F.cross_entropy(model(x), torch.arange(3))
        refiner(x, torch.arange(3), loss, logits=logits)
        logits.sum().backward()
        counts.append(counter.frame_count)
    assert counts[1:] == counts[:1] * 3


def test_head_and_exact_of_a_compiled_model_run_eagerly():
    from torch._dynamo.testing import CompileCounter

    model, x = mlp(4, torch.float32)
    expected = [
        saflex.inner_products(model, x, random_direction(model, names), how=how)
        for how, names in (("jvp", None), ("head", ["2.bias"]))
    ]
    counter = CompileCounter()
    model.compile(backend=counter)
    model(x)
    assert counter.frame_count == 1
    torch.testing.assert_close(
        saflex.inner_products(model, x, random_direction(model)), expected[0]
    )
    pi = saflex.inner_products(model, x, random_direction(model, ["2.bias"]), how="head")
    torch.testing.assert_close(pi, expected[1])
    assert counter.frame_count == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: {**d, "3.weight": d["0.bias"]}, r"direction: .*parameters.*3\.weight"),
        (
            lambda d: {**d, "0.bias": d["2.bias"]},
            r"direction: .*shaped as parameters.*'0\.bias': torch.Size\(\[3\]\)",
        ),
        (lambda d: {**d, "0.bias": d["0.bias"] * float("nan")}, r"direction: .*finite"),
        (lambda d: {}, r"direction: one or more"),
    ],
)
@pytest.mark.parametrize("how", ["jvp", "lookahead"])
def test_bad_directions(change, message, how):
    model, x = mlp(3)
    with pytest.raises(ValueError, match=message):
        saflex.inner_products(model, x, change(random_direction(model)), how=how)


def test_bad_choices_and_outputs():
    model, x = mlp(3)
    d = random_direction(model)
    with pytest.raises(ValueError, match=r"space: one of .*log_probs.*probs.*logits.*'prob'"):
        saflex.inner_products(model, x, d, space="prob")
    with pytest.raises(ValueError, match=r"how: one of .*jvp.*lookahead.*head.*'exact'"):
        saflex.inner_products(model, x, d, how="exact")
    for how in ("jvp", "lookahead"):
        with pytest.raises(ValueError, match=r"inputs, forward: .*\(B, K\).*\[0, 3\]"):
            saflex.inner_products(model, x[:0], d, how=how)
        with pytest.raises(ValueError, match=r"inputs, forward: .*\(B, K\).*\[3\]"):
            saflex.inner_products(model, x, d, how=how, forward=lambda m, x: m(x)[:, 0])
