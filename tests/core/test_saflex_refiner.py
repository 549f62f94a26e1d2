"""SAFLEX in a training loop: its options by hand, and that it leaves the model as it was."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import saflex


class Net(nn.Module):
    def __init__(self, dropout=0.3):
        super().__init__()
        self.conv = nn.Conv2d(2, 5, 3, padding=1)
        self.norm = nn.BatchNorm2d(5)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(5, 3)

    def forward(self, x):
        return self.head(self.dropout(self.norm(self.conv(x)).relu()).mean((2, 3)))


@pytest.fixture
def task():
    torch.manual_seed(0)
    model = Net()
    x, y = torch.randn(8, 2, 4, 4), torch.randint(3, (8,))
    return model, x, y, torch.randn(6, 2, 4, 4), torch.randint(3, (6,))


def snapshot(model):
    for p in model.parameters():
        if p.grad is None:
            p.grad = torch.randn_like(p)
    return {
        "state": copy.deepcopy(model.state_dict()),
        "same": [id(p) for p in model.parameters()] + [id(b) for b in model.buffers()],
        "data": [p.data_ptr() for p in model.parameters()],
        "grads": [p.grad.clone() for p in model.parameters()],
        "requires": [p.requires_grad for p in model.parameters()],
        "modes": [m.training for m in model.modules()],
        "random": torch.get_rng_state(),
        "hooks": [len(m._forward_hooks) for m in model.modules()],
        "fast": torch.backends.mha.get_fastpath_enabled(),
        "grad mode": torch.is_grad_enabled(),
    }


def assert_same(before, after):
    for key, value in before.items():
        torch.testing.assert_close(after[key], value, rtol=0, atol=0, msg=key)


WAYS = [("jvp", "all"), ("lookahead", "all"), ("jvp", "head"), ("lookahead", ["norm", "head"])]


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize(("how", "scope"), WAYS)
def test_nothing_of_the_model_changes(task, how, scope, train):
    model, x, y, x_val, y_val = task
    model.train(train)
    model.norm.eval()
    model.norm.train(train)
    loss = F.cross_entropy(model(x_val), y_val)
    before = snapshot(model)
    refiner = saflex.SAFLEX(model, how=how, scope=scope, centre=True, unit_scale=True)
    refined = refiner(x, y, loss)
    assert_same(before, snapshot(model))
    assert not any(t.requires_grad for t in vars(refined).values())


@pytest.mark.parametrize("how", ["jvp", "lookahead", "head"])
@pytest.mark.parametrize("given", [True, False])
def test_nothing_changes_when_the_forward_pass_fails(task, how, given):
    model, x, y, x_val, y_val = task
    loss = F.cross_entropy(model(x_val), y_val)

    def fail(m, x):
        torch.rand(3)
        m.norm.running_mean.add_(1)
        m.eval()
        raise RuntimeError("no such luck")

    scope = "head" if how == "head" else "all"
    refiner = saflex.SAFLEX(model, how="jvp" if how == "head" else how, scope=scope, forward=fail)
    logits = 2 * model(x) if given else None
    before = snapshot(model)
    for validation in ({"val_loss": loss}, {"val": (x_val, y_val)}):
        with pytest.raises(RuntimeError, match="no such luck"):
            refiner(x, y, **validation, logits=logits)
        assert_same(before, snapshot(model))


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize(("how", "scope"), WAYS)
@pytest.mark.parametrize("shrink", [True, False])
def test_with_the_logits_of_the_training_pass(task, how, scope, train, shrink):
    """Same Pi as without; the graph of the logits, statistics and random state stay."""
    model, x, y, x_val, y_val = task
    model.train(train)
    state = torch.get_rng_state()
    results = []
    for given in (True, False):
        twin = copy.deepcopy(model)
        torch.set_rng_state(state)
        losses = [F.cross_entropy(twin(x_val), y_val) for _ in range(1 + shrink)]
        refiner = saflex.SAFLEX(twin, how=how, scope=scope, gumbel=0, shrink=shrink)
        at = torch.get_rng_state()
        logits = twin(x)
        after = torch.get_rng_state()
        torch.set_rng_state(at)
        held = copy.deepcopy(twin.state_dict())
        refined = refiner(x, y, losses, logits=logits if given else None)
        assert torch.equal(torch.get_rng_state(), at)
        torch.testing.assert_close(dict(twin.state_dict()), dict(held), rtol=0, atol=0)
        torch.set_rng_state(after)
        saflex.soft_cross_entropy(logits, refined.labels, refined.weights).backward()
        grads = [p.grad for p in twin.parameters()]
        results.append((dict(twin.state_dict()), torch.get_rng_state(), grads, vars(refined)))
    tight = {"rtol": 1e-4, "atol": 1e-4 if how == "jvp" else 3e-2}
    torch.testing.assert_close(results[0][:2], results[1][:2])
    torch.testing.assert_close(results[0][3], results[1][3], **tight)
    torch.testing.assert_close(results[0][2], results[1][2], **tight)


def linear(model, direction):
    """A loss whose gradient is `direction`."""
    named = dict(model.named_parameters())
    return sum((t * named[n]).sum() for n, t in direction.items())


def coarse(graph, _):
    """A compiler whose kernels round otherwise than eager ones."""
    return lambda *args: [z.bfloat16().float() for z in graph(*args)]


@pytest.mark.parametrize(("how", "scope"), [("jvp", "all"), ("lookahead", "all"), ("head", "head")])
def test_under_autocast_and_when_compiled(task, how, scope):
    model, x, y, x_val, y_val = task
    names = saflex.scope_names(model, scope)
    g = saflex.validation_gradient(model, F.cross_entropy(model(x_val), y_val), names)
    state = torch.get_rng_state()
    expected = saflex.inner_products(model, x, g, "logits", how="jvp")
    for autocast, target in ((True, model), (False, torch.compile(model, backend=coarse))):
        refiner = saflex.SAFLEX(
            target, how="jvp" if how == "head" else how, scope=scope, space="logits"
        )
        torch.set_rng_state(state)
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            logits = target(x)
            torch.set_rng_state(state)
            refined = refiner(x, y, linear(model, g), logits=logits)
        assert logits.dtype == (torch.bfloat16 if autocast else torch.float32)
        error = (refined.inner_products - expected).norm()
        assert error < (0.03 if how == "lookahead" else 0.01) * expected.norm()


def calibrated_by_hand(model, x, y, losses, optimizer):
    """The reading `calibrated`, from an explicit Jacobian of the logits."""
    params, z = list(model.parameters()), model(x)
    batch, classes = z.shape
    p, scores, parts = z.detach().softmax(1), [], []
    for loss in losses:
        g = torch.autograd.grad(loss, params, retain_graph=True)
        d = saflex.optimizer_direction(
            model, dict(zip([n for n, _ in model.named_parameters()], g, strict=True)), optimizer
        )
        pi = torch.zeros(batch, classes).to(p)
        for i in range(batch):
            for k in range(classes):
                grads = torch.autograd.grad(z[i, k], params, retain_graph=True)
                pi[i, k] = -sum((a * b).sum() for a, b in zip(grads, d.values(), strict=True))
        for k in range(classes):
            pi[:, k] -= pi[:, k].mean()
        for i in range(batch):
            pi[i] -= p[i] @ pi[i]
            for k in range(classes):
                pi[i, k] /= (F.one_hot(torch.tensor(k), classes) - p[i]).norm()
        parts.append(pi)
        scores.append(torch.stack([pi[i, y[i]] for i in range(batch)]))
    pi = (parts[0] + parts[1]) / 2
    rho = torch.corrcoef(torch.stack(scores))[0, 1].clamp_min(0)
    return rho * pi / pi.square().mean().sqrt(), rho


def test_calibrated_reading(task):
    model, x, y, x_val, y_val = task
    model.double().eval()
    x, x_val = x.double(), x_val.double()
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(2):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()

    def losses():
        return F.cross_entropy(model(x_val[:3]), y_val[:3]), F.cross_entropy(model(x), y)

    expected, rho = calibrated_by_hand(model, x, y, losses(), optimizer)
    assert 0 < rho < 1
    refined = saflex.SAFLEX(
        model, beta=3, temperature=1, gumbel=0, weight_rule="gate", slope=2, optimizer=optimizer,
        centre=True, normalise=True, unit_scale=True, shrink=True,
    )(x, y, losses())  # fmt: skip
    torch.testing.assert_close(refined.inner_products, expected, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(refined.reliability, rho)
    labels = (expected + 3 * F.one_hot(y, 3)).softmax(1)
    torch.testing.assert_close(refined.labels, labels)
    gate = torch.sigmoid(2 * expected.gather(1, y[:, None])[:, 0])
    torch.testing.assert_close(refined.weights, gate / gate.sum())


def test_sign_as_printed_is_the_opposite(task):
    model, x, y, x_val, y_val = task
    model.eval()
    right, printed = (
        saflex.SAFLEX(model, space="probs", gumbel=0, sign=sign)(
            x, y, F.cross_entropy(model(x_val), y_val)
        ).inner_products
        for sign in (1, -1)
    )
    torch.testing.assert_close(right, -printed)
    g = saflex.validation_gradient(model, F.cross_entropy(model(x_val), y_val))
    torch.testing.assert_close(right, saflex.inner_products(model, x, g, "probs"))


def test_a_useless_validation_batch_shrinks_pi_to_nothing(task):
    model, x, y, x_val, y_val = task
    model.eval()
    losses = [sign * F.cross_entropy(model(x_val), y_val) for sign in (1, -1)]
    refined = saflex.SAFLEX(model, shrink=True)(x, y, losses)
    assert refined.reliability == 0
    assert not refined.inner_products.any()


def test_noise_follows_the_seed(task):
    model, x, y, x_val, y_val = task
    model.eval()

    def labels():
        torch.manual_seed(5)
        refiner = saflex.SAFLEX(model, temperature=1)
        return [refiner(x, y, F.cross_entropy(model(x_val), y_val)).labels for _ in range(2)]

    first, second = labels(), labels()
    assert not torch.equal(*first)
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])


class Blocks(nn.Module):
    def __init__(self):
        super().__init__()
        block = [nn.Sequential(Net(), Net()), nn.Sequential(Net(), Net())]
        block[1][1].shortcut = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
        self.stem, self.stages = nn.Linear(2, 2), nn.Sequential(*block)
        self.norm, self.head = nn.LayerNorm(2), nn.Linear(2, 2)


def test_scopes():
    model = Blocks()
    every = [n for n, _ in model.named_parameters()]
    assert saflex.scope_names(model, "all") == every
    assert saflex.scope_names(model, "head") == ["head.weight", "head.bias"]
    assert saflex.scope_names(model, ["stem", "norm.bias"]) == [
        "stem.weight", "stem.bias", "norm.bias",
    ]  # fmt: skip
    model.head.weight.requires_grad_(False)
    assert saflex.scope_names(model, "head") == ["head.bias"]
    assert saflex.scope_names(nn.Linear(2, 2), "head") == ["weight", "bias"]


def test_scope_moves_its_parameters_alone(task):
    model, x, y, x_val, y_val = task
    model.eval()
    g = saflex.validation_gradient(model, F.cross_entropy(model(x_val), y_val))
    for scope in ("head", ["conv"], ["norm.weight", "head"]):
        loss = F.cross_entropy(model(x_val), y_val)
        pi = saflex.SAFLEX(model, scope=scope)(x, y, loss).inner_products
        d = {n: g[n] for n in saflex.scope_names(model, scope)}
        torch.testing.assert_close(pi, saflex.inner_products(model, x, d), rtol=1e-4, atol=1e-6)


def test_frozen_layers_and_partly_frozen_head(task):
    model, x, y, x_val, y_val = task
    model.eval()
    model.conv.requires_grad_(False)
    model.head.weight.requires_grad_(False)
    for how, scope in WAYS[:3]:
        loss = F.cross_entropy(model(x_val), y_val)
        pi = saflex.SAFLEX(model, how=how, scope=scope, gumbel=0)(x, y, loss).inner_products
        g = saflex.validation_gradient(model, F.cross_entropy(model(x_val), y_val))
        d = {n: t for n, t in g.items() if scope == "all" or n == "head.bias"}
        expected = saflex.inner_products(model, x, d)
        assert (pi - expected).norm() < 0.01 * expected.norm()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"space": "p"}, r"space: one of"),
        ({"how": "exact"}, r"how: one of .*jvp.*lookahead.*head.*'exact'"),
        ({"weight_rule": "hard"}, r"weight_rule: one of .*label.*all.*'hard'"),
        ({"temperature": 0}, r"temperature: a number from 1e-30.* expected, got 0"),
        ({"scope": "tail"}, r"scope: all, head.*'tail'"),
        ({"scope": ["tail"]}, r"scope: .*trainable parameters.*conv\.weight.*\['tail'\]"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        saflex.SAFLEX(Net(), **options)


def test_scope_head_needs_a_linear_layer():
    with pytest.raises(ValueError, match=r"scope: .*an nn\.Linear.*'head' in Conv2d"):
        saflex.SAFLEX(nn.Conv2d(1, 1, 1), scope="head")


def test_number_of_losses(task):
    model, x, y, x_val, y_val = task
    loss = F.cross_entropy(model(x_val), y_val)
    with pytest.raises(ValueError, match=r"val_loss: 2 scalar loss\(es\) expected, got 1"):
        saflex.SAFLEX(model, shrink=True)(x, y, loss)
    with pytest.raises(ValueError, match=r"val_loss: 1 scalar"):
        saflex.SAFLEX(model)(x, y, (loss, loss))


def test_labels_are_checked(task):
    model, x, y, x_val, y_val = task
    with pytest.raises(ValueError, match=r"labels: .*in \[0, 3\)"):
        saflex.SAFLEX(model)(x, y + 3, F.cross_entropy(model(x_val), y_val))


def test_a_sum_over_the_validation_batch_is_its_size_times_the_mean(task):
    model, x, y, x_val, y_val = task
    mean, total = (
        saflex.SAFLEX(model, reduction=reduction).measure(x, y, val=(x_val, y_val))[0]
        for reduction in ("mean", "sum")
    )
    torch.testing.assert_close(total, len(y_val) * mean)
    with pytest.raises(ValueError, match="reduction"):
        saflex.SAFLEX(model, reduction="none")
