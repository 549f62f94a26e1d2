"""The belief after the head's Newton step, against explicit matrices and brute force."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

import saflex

N, D, K = 30, 6, 4


def network(bias=True):
    torch.manual_seed(0)
    layers = nn.Linear(5, D), nn.BatchNorm1d(D), nn.ReLU(), nn.Linear(D, K, bias=bias)
    return nn.Sequential(*layers).double()


def samples(n, seed=1):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 5, generator=generator, dtype=torch.float64)
    return x, torch.randint(K, (n,), generator=generator)


@pytest.mark.parametrize("bias", [True, False])
def test_newton_direction_solves_the_system_written_out(bias):
    model, (x, y) = network(bias), samples(N)
    found = saflex.newton_direction(model, x, y, ridge=0.3)
    features = model[:3](x).detach()
    columns = [features, torch.ones(N, 1)] if bias else [features]
    f = torch.cat(columns, 1)
    size = f.shape[1]
    gradient, hessian = torch.zeros(size * K), torch.zeros(size * K, size * K)
    gradient, hessian = gradient.double(), hessian.double()
    p = model(x).detach().softmax(1)
    for i in range(N):
        gradient += torch.kron(p[i] - F.one_hot(y[i], K), f[i]) / N
        hessian += torch.kron(torch.eye(K).double(), torch.outer(f[i], f[i])) / (4 * N)
    damping = 0.3 * hessian.trace() / (size * K)
    step = torch.linalg.inv(hessian + damping * torch.eye(size * K)) @ gradient
    step = step.view(K, size)
    names = ["3.weight", "3.bias"] if bias else ["3.weight"]
    assert [*found] == names
    torch.testing.assert_close(found["3.weight"], step[:, :D])
    if bias:
        torch.testing.assert_close(found["3.bias"], step[:, D])


def test_the_gradient_is_the_validation_loss_s():
    model, (x, y) = network(), samples(N)
    names = saflex.scope_names(model, "head")
    g = saflex.validation_gradient(model, lambda: F.cross_entropy(model(x), y), names)
    strong = saflex.newton_direction(model, x, y, ridge=1e12)
    ratios = torch.cat([(strong[n] / g[n]).flatten() for n in names])
    torch.testing.assert_close(ratios, ratios[0].expand_as(ratios), rtol=1e-6, atol=0)
    assert ratios[0] > 0


@pytest.mark.parametrize("given_logits", [True, False])
def test_the_belief_is_that_of_the_network_after_the_step(given_logits):
    model, (x, _), (x_val, y_val) = network(), samples(20, 2), samples(N)
    refine = saflex.Posterior(model)
    logits = model(x) if given_logits else None
    log_p = refine.measure(x, val=(x_val, y_val), logits=logits)
    after, step = copy.deepcopy(model), saflex.newton_direction(model, x_val, y_val, refine.ridge)
    with torch.no_grad():
        for name, parameter in after.named_parameters():
            parameter -= step.get(name, 0)
    torch.testing.assert_close(log_p, after(x).log_softmax(1))


def test_one_step_lowers_the_validation_loss():
    model, (x, y) = network(), samples(N)
    step = saflex.newton_direction(model, x, y)
    before = F.cross_entropy(model(x), y)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter -= step.get(name, 0)
    assert F.cross_entropy(model(x), y) < before


@given(st.integers(0, 10**6), st.integers(2, 6), st.integers(1, 40))
def test_weights_are_bayes_and_the_share_is_the_most_likely(seed, classes, batch):
    generator = torch.Generator().manual_seed(seed)
    log_p = torch.randn(batch, classes, generator=generator).double().mul(2).log_softmax(1)
    y = torch.randint(classes, (batch,), generator=generator)
    found = saflex.Posterior(network()).solve(log_p, y)
    p = log_p.exp()

    def joint(e):
        """P(label right, label) and P(label wrong, label), summed over the true class."""
        given = torch.full((classes, classes), e / (classes - 1)).double()  # label by true class
        given.fill_diagonal_(1 - e)
        both = p * given.T[y]
        own = F.one_hot(y, classes).bool()
        return both[own], both.masked_fill(own, 0).sum(1)

    right, wrong = joint(float(found.wrong))
    weights = right / (right + wrong)
    torch.testing.assert_close(found.weights, weights / weights.sum())
    best = (right + wrong).log().sum()
    for e in range(100):
        assert best >= torch.stack(joint(e / 100)).sum(0).log().sum() - 1e-9


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.9])
@pytest.mark.parametrize("K", [2, 4])
def test_the_share_of_wrong_labels_is_found(share, K):
    generator = torch.Generator().manual_seed(0)
    truth = torch.randint(K, (4000,), generator=generator)
    log_p = (3 * F.one_hot(truth, K) + torch.randn(4000, K, generator=generator)).log_softmax(1)
    truth = torch.multinomial(log_p.exp(), 1, generator=generator)[:, 0]
    wrong = torch.rand(4000, generator=generator) < share
    y = (truth + wrong * torch.randint(1, K, (4000,), generator=generator)) % K
    found = saflex.Posterior(network()).solve(log_p, y)
    assert found.wrong == pytest.approx(share, abs=0.03)
    assert found.weights[wrong].sum() <= 0.75 * share


def test_soft_labels_are_judged_by_their_divergence():
    log_p = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]]).double().log()
    y = torch.tensor([[0.5, 0.3, 0.2], [0.6, 0.4, 0.0]]).double()
    found = saflex.Posterior(network()).solve(log_p, y)
    s = torch.tensor([1.0, 0.0]).double()
    s[1] = torch.exp(-(0.6 * torch.tensor(0.6 / 0.1).log() + 0.4 * torch.tensor(0.4 / 0.2).log()))
    e = found.wrong
    q = (1 - e) * s / ((1 - e) * s + e * (1 - s) / 2)
    torch.testing.assert_close(found.weights, q / q.sum())
    assert (found.labels == y).all()


def test_the_model_is_left_as_it_was():
    model, (x, y), (x_val, y_val) = network(), samples(20, 2), samples(N)
    model(x).sum().backward()
    before = copy.deepcopy(model.state_dict())
    gradients = [p.grad.clone() for p in model.parameters()]
    hooks = len(model[3]._forward_pre_hooks)
    refine = saflex.Posterior(model)
    refine(x, y, val=(x_val, y_val), logits=model(x))
    after = model.state_dict()
    moved = {n for n in before if not torch.equal(before[n], after[n])}
    assert moved == {"1.running_mean", "1.running_var", "1.num_batches_tracked"}  # by model(x)
    refine(x, y, val=(x_val, y_val))
    with pytest.raises(ValueError, match="labels"):
        refine(x, y, val=(x_val, y_val + K))
    assert all(torch.equal(after[n], v) for n, v in model.state_dict().items())
    assert all(map(torch.equal, gradients, (p.grad for p in model.parameters())))
    assert len(model[3]._forward_pre_hooks) == hooks


@pytest.mark.parametrize("last", [nn.ConstantPad1d((0, 1), 0.0), nn.Tanh()])
def test_a_network_whose_logits_are_not_its_last_linear_s_is_refused(last):
    x, y = samples(N)
    with pytest.raises(ValueError, match="model: logits"):
        saflex.newton_direction(nn.Sequential(nn.Linear(5, K), last), x.float(), y)


def test_a_network_without_a_head_and_a_negative_ridge_are_refused():
    with pytest.raises(ValueError, match="scope"):
        saflex.Posterior(nn.Sequential(nn.Conv1d(1, 1, 1)))
    with pytest.raises(ValueError, match="ridge"):
        saflex.Posterior(network(), ridge=-1)
