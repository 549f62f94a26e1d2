"""The direction against real steps of the real optimisers, and against the definition."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import saflex

SETTINGS = {
    "sgd": (torch.optim.SGD, {"lr": 0.1}),
    "momentum": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.8, "dampening": 0.3}),
    "nesterov": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.8, "nesterov": True}),
    "decay": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.8, "weight_decay": 0.1}),
    "adam": (torch.optim.Adam, {"lr": 0.01, "eps": 1e-3}),
    "adamw": (torch.optim.AdamW, {"lr": 0.01, "betas": (0.7, 0.99), "weight_decay": 0.1}),
    "amsgrad": (torch.optim.Adam, {"lr": 0.01, "amsgrad": True}),
}


def moved_by(model, optimizer, grads, momentum=True):
    """How far the optimiser's own step moves the parameters, on copies; momentum=False: from the
    same state with its first moments at zero and without weight decay."""
    model = copy.deepcopy(model)
    twin = type(optimizer)(model.parameters(), lr=1.0)
    twin.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    if not momentum:
        for group in twin.param_groups:
            group["weight_decay"] = 0.0
        for state in twin.state.values():
            for key in {"exp_avg", "momentum_buffer"} & set(state):
                state[key].zero_()
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    for n, p in model.named_parameters():
        p.grad = grads[n].clone()
    twin.step()
    return {n: before[n] - p.detach() for n, p in model.named_parameters()}


@pytest.mark.parametrize("steps", [0, 1, 4])
@pytest.mark.parametrize("name", SETTINGS)
def test_it_is_the_real_step_without_momentum(name, steps):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).double()
    nn.init.constant_(model[0].bias[:2], -100.0)  # dead units: their second moments stay at zero
    kind, options = SETTINGS[name]
    optimizer = kind(model.parameters(), **options)
    for size in (10, 1, 0.1, 1)[:steps]:
        optimizer.zero_grad()
        (size * model(torch.randn(5, 3).double()).square().sum()).backward()
        optimizer.step()
    g = {n: torch.randn_like(p) for n, p in model.named_parameters()}
    found = saflex.optimizer_direction(model, g, optimizer)
    for n, real in moved_by(model, optimizer, g, momentum=False).items():
        torch.testing.assert_close(found[n], real)


@pytest.mark.parametrize("name", ["sgd", "momentum", "nesterov", "decay"])
def test_the_step_of_sgd_is_linear_in_the_gradient(name):
    torch.manual_seed(0)
    model = nn.Linear(3, 2).double()
    kind, options = SETTINGS[name]
    optimizer = kind(model.parameters(), **options)
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.randn(5, 3).double()).square().sum().backward()
        optimizer.step()
    h = {n: torch.randn_like(p) for n, p in model.named_parameters()}
    d = {n: torch.randn_like(p) for n, p in model.named_parameters()}
    found = saflex.optimizer_direction(model, d, optimizer)
    low = moved_by(model, optimizer, h)
    high = moved_by(model, optimizer, {n: h[n] + d[n] for n in h})
    for n in d:
        torch.testing.assert_close(high[n] - low[n], found[n])


@pytest.mark.parametrize("steps", [1, 3, 30])
def test_scores_are_what_a_sample_does_to_the_real_step_of_adam(steps):
    """Pi . y along P g against the fall of the linearised loss that the sample causes."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3)).double()
    with torch.no_grad():
        model[0].bias[:8] = -3.0  # barely alive
    x, y = torch.randn(60, 4).double(), torch.randint(3, (60,))
    optimizer = torch.optim.Adam(model.parameters(), 0.01)

    def gradient(i):
        loss = F.cross_entropy(model(x[i]), y[i], reduction="sum") / 30
        grads = torch.autograd.grad(loss, [*model.parameters()])
        return dict(zip([n for n, _ in model.named_parameters()], grads, strict=True))

    for _ in range(steps):
        i = torch.randperm(30)[:10]
        for p, g in zip(model.parameters(), gradient(i).values(), strict=True):
            p.grad = g
        optimizer.step()
    g = saflex.validation_gradient(model, F.cross_entropy(model(x[30:]), y[30:]))
    whole = gradient(torch.arange(30))

    def fall(h):
        return sum((g[n] * step).sum() for n, step in moved_by(model, optimizer, h).items())

    one = [gradient(torch.tensor([i])) for i in range(30)]
    effects = [fall(whole) - fall({n: whole[n] - h[n] for n in whole}) for h in one]
    direction = saflex.optimizer_direction(model, g, optimizer)
    pi = saflex.inner_products(model, x[:30], direction)
    scores = pi.gather(1, y[:30, None])[:, 0]
    assert torch.corrcoef(torch.stack([scores, torch.stack(effects)]))[0, 1] > 0.9


def test_parameters_outside_the_optimiser_do_not_move():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))
    optimizer = torch.optim.SGD(model[1].parameters(), lr=0.5)
    d = {n: torch.ones_like(p) for n, p in model.named_parameters()}
    moved = saflex.optimizer_direction(model, d, optimizer)
    assert not moved["0.weight"].any()
    assert (moved["1.weight"] == 0.5).all()


def test_other_optimisers_are_refused():
    model = nn.Linear(3, 2)
    d = {n: torch.ones_like(p) for n, p in model.named_parameters()}
    with pytest.raises(ValueError, match=r"optimizer: SGD, Adam or AdamW.*RMSprop"):
        saflex.optimizer_direction(model, d, torch.optim.RMSprop(model.parameters()))


def test_validation_gradient_is_that_of_backward():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2), nn.Linear(2, 2))
    model[0].bias.requires_grad_(False)
    x, y = torch.randn(5, 3), torch.tensor([0, 1, 0, 1, 1])
    g = saflex.validation_gradient(model, F.cross_entropy(model[:3](x), y))
    assert all(p.grad is None for p in model.parameters())
    F.cross_entropy(model[:3](x), y).backward()
    for n, p in model.named_parameters():
        if p.requires_grad:
            torch.testing.assert_close(g[n], torch.zeros_like(p) if p.grad is None else p.grad)
    assert set(g) == {n for n, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda m: m(torch.ones(2, 3)), r"loss: a finite scalar.*got \(2, 2\)"),
        (lambda m: m(torch.ones(2, 3)).sum() * float("inf"), r"loss: a finite scalar.*(inf|nan)"),
        (lambda m: torch.tensor(1.0), r"loss: .*scalar, made from.*weight.*got \(\) .*: \[1"),
    ],
)
def test_bad_losses(loss, message):
    model = nn.Linear(3, 2)
    with pytest.raises(ValueError, match=message):
        saflex.validation_gradient(model, loss(model))


def test_the_gradient_keeps_the_memory_layout_of_the_parameters():
    """Sums over it, as the length of look-ahead's step, are then the same to the last bit."""
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8 * 4, 2))
    model = model.to(memory_format=torch.channels_last)
    loss = model(torch.randn(5, 3, 4, 4)).square().mean()
    plain = torch.autograd.grad(loss, [*model.parameters()], retain_graph=True)
    g = saflex.validation_gradient(model, loss)
    assert [part.stride() for part in g.values()] == [part.stride() for part in plain]
    assert all(map(torch.equal, g.values(), plain))
