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


def stepped(model, optimizer, grads):
    """Parameters after the optimiser's own step, on copies."""
    model = copy.deepcopy(model)
    twin = type(optimizer)(model.parameters(), **{"lr": 1.0})
    twin.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for n, p in model.named_parameters():
        p.grad = grads[n].clone()
    twin.step()
    return {n: p.detach() for n, p in model.named_parameters()}


@pytest.mark.parametrize("fresh", [True, False])
@pytest.mark.parametrize("name", SETTINGS)
def test_real_steps(name, fresh):
    if fresh and SETTINGS[name][0] is not torch.optim.SGD:
        pytest.skip("Adam's first step is lr sign(h), which has no P")
    torch.manual_seed(0)
    model = nn.Linear(3, 2).double()
    kind, options = SETTINGS[name]
    optimizer = kind(model.parameters(), **options)
    for _ in range(0 if fresh else 4):
        optimizer.zero_grad()
        model(torch.randn(5, 3).double()).square().sum().backward()
        optimizer.step()
    if kind is not torch.optim.SGD:
        # A state so old that a new gradient does not change the second moment.
        for state in optimizer.state.values():
            t = float(state["step"])
            b1, b2 = optimizer.param_groups[0]["betas"]
            for key in ("exp_avg_sq", "max_exp_avg_sq"):
                if key in state:
                    state[key] /= 1 - b2**t
            state["step"].fill_(1e6)
        optimizer.param_groups[0]["betas"] = (b1, 1 - 1e-15)
        for state in optimizer.state.values():
            for key in ("exp_avg_sq", "max_exp_avg_sq"):
                if key in state:
                    state[key] *= 1 - (1 - 1e-15) ** 1e6
    h = {n: torch.randn_like(p) for n, p in model.named_parameters()}
    d = {n: torch.randn_like(p) for n, p in model.named_parameters()}
    moved = saflex.optimizer_direction(model, d, optimizer)
    low = stepped(model, optimizer, h)
    high = stepped(model, optimizer, {n: h[n] + d[n] for n in h})
    for n in d:
        torch.testing.assert_close(low[n] - high[n], moved[n], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", ["adam", "adamw", "amsgrad"])
def test_bias_corrections_of_a_young_state(name):
    torch.manual_seed(0)
    model = nn.Linear(3, 2).double()
    kind, options = SETTINGS[name]
    optimizer = kind(model.parameters(), **options)
    for size in (10, 1, 0.1):
        optimizer.zero_grad()
        (size * model(torch.randn(5, 3).double()).square().sum()).backward()
        optimizer.step()
    d = {n: torch.randn_like(p) for n, p in model.named_parameters()}
    moved = saflex.optimizer_direction(model, d, optimizer)
    (b1, b2), group = optimizer.param_groups[0]["betas"], optimizer.param_groups[0]
    for n, p in model.named_parameters():
        state = optimizer.state[p]
        second = state["max_exp_avg_sq"] if name == "amsgrad" else state["exp_avg_sq"]
        root = (second / (1 - b2**3)).sqrt() + group["eps"]
        torch.testing.assert_close(moved[n], group["lr"] * (1 - b1) / (1 - b1**4) / root * d[n])


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
        (lambda m: m(torch.ones(2, 3)), r"loss: a scalar of shape \(\).*\(2, 2\)"),
        (lambda m: m(torch.ones(2, 3)).sum() * float("inf"), r"loss: a finite scalar.*(inf|nan)"),
        (lambda m: torch.tensor(1.0), r"loss: a function of trainable parameters"),
    ],
)
def test_bad_losses(loss, message):
    model = nn.Linear(3, 2)
    with pytest.raises(ValueError, match=message):
        saflex.validation_gradient(model, loss(model))
