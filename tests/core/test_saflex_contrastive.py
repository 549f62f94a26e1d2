"""The contrastive form: Eq. (12) to (14) as a classification among B proxy classes."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import saflex


class TwoTowers(nn.Module):
    def __init__(self):
        super().__init__()
        self.image, self.text = nn.Linear(5, 4), nn.Linear(3, 4)
        self.scale = nn.Parameter(torch.tensor(1.3))

    def forward(self, image, text):
        return self.image(image).tanh(), self.text(text).tanh(), self.scale.exp()


def forward(model, pair):
    return saflex.contrastive_logits(*model(*pair))


@pytest.fixture
def towers():
    torch.manual_seed(0)
    pair = torch.randn(4, 5).double(), torch.randn(4, 3).double()
    val = torch.randn(6, 5).double(), torch.randn(6, 3).double()
    return TwoTowers().double(), pair, val


def clip_loss(model, image, text):
    """Eq. (13) written out, with the sum over pairs."""
    a, b, scale = model(image, text)
    a, b = a / a.norm(dim=1, keepdim=True), b / b.norm(dim=1, keepdim=True)
    loss = 0
    for i in range(len(a)):
        loss = loss - (scale * a[i] @ b[i]) + (scale * b @ a[i]).exp().sum().log()
        loss = loss - (scale * a[i] @ b[i]) + (scale * a @ b[i]).exp().sum().log()
    return loss


def test_matching_targets_give_eq_13_and_its_first_half_eq_12(towers):
    model, pair, _ = towers
    z = forward(model, pair)
    assert z.shape == (8, 4)
    one_hot = torch.eye(4).double().repeat(2, 1)
    loss = saflex.soft_cross_entropy(z, one_hot, torch.ones(8).double())
    torch.testing.assert_close(loss, clip_loss(model, *pair))
    first = saflex.soft_cross_entropy(z[:4], one_hot[:4], torch.ones(4).double())
    torch.testing.assert_close(first, F.cross_entropy(z[:4], torch.arange(4), reduction="sum"))


@pytest.mark.parametrize("how", ["jvp", "lookahead"])
def test_pi_is_the_fall_of_the_validation_loss_for_each_proxy_label(towers, how):
    model, pair, val = towers
    g = saflex.validation_gradient(model, clip_loss(model, *val))
    pi = saflex.inner_products(model, pair, g, how=how, forward=forward)
    for i in range(8):
        for k in range(4):
            loss = -forward(model, pair)[i].log_softmax(0)[k]
            h = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)
            expected = sum(
                (g[n] * t).sum()
                for (n, _), t in zip(model.named_parameters(), h, strict=True)
                if t is not None
            )
            torch.testing.assert_close(pi[i, k], expected, rtol=1e-5, atol=1e-6)


def test_refiner_learns_targets_and_weights_for_both_directions(towers):
    model, pair, val = towers
    refiner = saflex.SAFLEX(model, gumbel=0, temperature=1e-6, forward=forward)
    logits = forward(model, pair)
    y = torch.arange(4).repeat(2)
    refined = refiner(pair, y, clip_loss(model, *val), logits=logits)
    assert refined.labels.shape == (8, 4)
    assert refined.labels.argmax(1).tolist() == refined.inner_products.argmax(1).tolist()
    loss = saflex.soft_cross_entropy(logits, refined.labels, refined.weights)
    loss.backward()
    assert model.scale.grad is not None
    apart = saflex.SAFLEX(model, gumbel=0, temperature=1e-6, forward=forward, how="lookahead")
    again = apart(pair, y, clip_loss(model, *val))
    torch.testing.assert_close(again.labels, refined.labels)
    torch.testing.assert_close(again.weights, refined.weights)


def test_single_direction(towers):
    model, pair, val = towers
    refiner = saflex.SAFLEX(model, forward=lambda m, pair: forward(m, pair)[: len(pair[0])])
    refined = refiner(pair, torch.arange(4), clip_loss(model, *val))
    assert refined.labels.shape == (4, 4)
    assert refined.weights.shape == (4,)
