"""What a pass aside must not see, change or be changed by: stale logits, half precision, caches,
parameters that a forward pass writes or keeps, random states outside torch, other threads."""

import copy
import random
import threading

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrize
from torch.utils.checkpoint import CheckpointFunction, checkpoint

import saflex

HOWS = pytest.mark.parametrize("how", ["jvp", "lookahead"])
Y = torch.tensor([0, 1, 2] * 2)


def samples(n=6, seed=0):
    return torch.randn(n, 4, generator=torch.Generator().manual_seed(seed))


def mlp():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))


class Normed(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.norm, self.last = nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 3)

    def forward(self, x):
        return self.last(self.norm(self.first(x)).relu())


def direction_of(model):
    generator = torch.Generator().manual_seed(1)
    return {n: torch.randn(p.shape, generator=generator).to(p) for n, p in model.named_parameters()}


def refined(model, how, logits=None, **options):
    refine = saflex.SAFLEX(model, how=how, gumbel=0, space="logits", **options)
    return refine(samples(), Y, val=(samples(seed=1), Y), logits=logits).inner_products


def close(found, expected, rtol):
    assert (found - expected).norm() <= rtol * expected.norm()


# --- logits that are not those of a pass now ------------------------------------------------------
def of_another_mode():
    model = Normed()
    logits = model(samples())
    return model.eval(), logits


def of_a_larger_batch():
    model = Normed()
    return model, model(torch.cat([samples(seed=2), samples()]))[6:]


def of_earlier_parameters():
    model = mlp()
    logits = model(samples())
    F.cross_entropy(model(samples()), Y).backward()
    torch.optim.SGD(model.parameters(), 0.1).step()
    return model, logits


def of_nearly_the_same_parameters():
    model = mlp()
    logits = model(samples())
    F.cross_entropy(model(samples()), Y).backward()
    torch.optim.SGD(model.parameters(), 1e-3).step()
    return model, logits


def of_another_batch():
    model = mlp()
    return model, model(samples(seed=3))


@pytest.mark.parametrize(
    "made",
    [
        of_another_mode,
        of_a_larger_batch,
        of_earlier_parameters,
        of_nearly_the_same_parameters,
        of_another_batch,
    ],
)
def test_look_ahead_does_without_logits_of_another_pass(made):
    model, logits = made()
    close(refined(model, "lookahead", logits), refined(model, "jvp"), 0.1)


# --- precision ------------------------------------------------------------------------------------
@HOWS
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_networks_in_half_precision(how, dtype):
    model = mlp().to(dtype)
    whole, direction = copy.deepcopy(model).float(), direction_of(model)
    exact = {n: t.float() for n, t in direction.items()}
    expected = saflex.inner_products(whole, samples(), exact, "logits")
    close(saflex.inner_products(model, samples(), direction, "logits", how), expected, 0.02)


class Inner(nn.Module):
    """Autocast of its own."""

    def __init__(self):
        super().__init__()
        self.net = mlp()

    def forward(self, x):
        with torch.autocast("cpu", torch.bfloat16):
            return self.net(x).float()


@HOWS
def test_a_network_with_autocast_of_its_own(how):
    model, direction = Inner(), direction_of(Inner())
    bare = {n.removeprefix("net."): t for n, t in direction.items()}
    expected = saflex.inner_products(model.net, samples(), bare, "logits")
    close(saflex.inner_products(model, samples(), direction, "logits", how), expected, 0.03)
    assert model.net[0](samples()).dtype == torch.float32
    with torch.autocast("cpu", torch.bfloat16):
        assert model.net[0](samples()).dtype == torch.bfloat16


@pytest.mark.parametrize("scale", [1e-30, 1e-20, 1.0, 1e15])
def test_reliability_is_that_of_any_scale(scale):
    model, x = mlp().double(), samples().double()
    parts = samples(8, seed=4).double(), samples(8, seed=5).double()
    labels = torch.randint(3, (8,), generator=torch.Generator().manual_seed(0))

    def reliability(model, scale):
        losses = [lambda p=p: scale * F.cross_entropy(model(p.to(x)), labels) for p in parts]
        refine = saflex.SAFLEX(model, shrink=True, gumbel=0)
        return refine.measure(x.to(next(model.parameters())), Y, losses)[1]

    expected = reliability(model, 1.0)
    x = x.float()
    assert 0.1 < expected < 1
    assert reliability(model.float(), scale) == pytest.approx(expected.item(), rel=1e-3)


# --- what a forward pass writes -------------------------------------------------------------------
class MaxNorm(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Linear(4, 8), nn.Linear(8, 3)
        self.register_buffer("mean", None)

    def forward(self, x):
        if self.mean is None:
            self.mean = x.mean(0)
        with torch.no_grad():
            self.last.weight.copy_(self.last.weight.renorm(2, 0, 0.5))
        return self.last(self.first(x - self.mean).tanh())


@HOWS
def test_parameters_that_a_pass_writes_and_buffers_that_it_makes_are_as_before(how):
    model = MaxNorm()
    before = copy.deepcopy(model.state_dict())
    refined(model, how)
    assert model.mean is None
    assert all(torch.equal(before[n], v) for n, v in model.state_dict().items())
    logits = model(samples())
    found = saflex.SAFLEX(model, how=how)(samples(), Y, val=(samples(), Y), logits=logits)
    saflex.soft_cross_entropy(logits, found.labels, found.weights).backward()


@HOWS
def test_rows_of_an_embedding_with_a_largest_norm(how):
    model = nn.Sequential(nn.Embedding(10, 4, max_norm=1.0), nn.Flatten(), nn.Linear(8, 3))
    before = model[0].weight.detach().clone()
    x, x_val = torch.tensor([[0, 1], [2, 3], [0, 2]]), torch.tensor([[4, 5], [6, 7], [8, 9]])
    saflex.SAFLEX(model, how=how)(x, Y[:3], val=(x_val, Y[:3]))
    assert torch.equal(model[0].weight, before)


@HOWS
def test_inputs_that_a_pass_writes_are_as_before(how):
    class Shift(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = mlp()

        def forward(self, x):
            x -= 0.5
            return self.net(x)

    x, model = samples(), Shift()
    bare = {n.removeprefix("net."): t for n, t in direction_of(model).items()}
    found = saflex.inner_products(model, x, direction_of(model), "logits", how)
    assert torch.equal(x, samples())
    close(found, saflex.inner_products(model.net, x - 0.5, bare, "logits"), 0.03)


# --- random states outside torch ------------------------------------------------------------------
@HOWS
@pytest.mark.parametrize("draw", [random.random, np.random.random])
def test_layers_dropped_by_pythons_or_numpys_numbers(how, draw):
    class LayerDrop(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.first, self.middle, self.last = nn.Linear(4, 8), nn.Linear(8, 8), nn.Linear(8, 3)

        def forward(self, x):
            h = self.first(x).tanh()
            return self.last(h + self.middle(h) if draw() > 0.5 else h)

    model = LayerDrop()
    random.seed(0)
    np.random.seed(0)
    states = random.getstate(), np.random.get_state()[1:3]
    norms = {
        round(
            saflex.inner_products(model, samples(), direction_of(model), "logits", how)
            .norm()
            .item(),
            1,
        )
        for _ in range(6)
    }
    assert len(norms) == 1
    assert random.getstate() == states[0]
    assert np.array_equal(np.random.get_state()[1], states[1][0])


# --- parameters that live elsewhere ---------------------------------------------------------------
@HOWS
def test_a_parameter_that_is_used_again_outside_its_module_is_refused(how):
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Linear(4, 4), nn.Linear(4, 3)
            self.kept = [self.first.weight]

        def forward(self, x):
            return self.last(F.linear(self.first(x).tanh(), self.kept[0]))

    with pytest.raises(ValueError, match="model: parameters that are read from its modules"):
        saflex.inner_products(Tied(), samples(), direction_of(Tied()), how=how)


def test_a_cache_of_parametrizations_is_neither_read_nor_filled():
    model = mlp()
    parametrize.register_parametrization(model[0], "weight", nn.Softplus(), unsafe=True)
    right = saflex.inner_products(model, samples(), direction_of(model), "logits")
    with parametrize.cached():
        logits = model(samples())
        found = saflex.inner_products(model, samples(), direction_of(model), "logits")
        close(found, right, 1e-5)
        F.cross_entropy(logits, Y).backward()
    assert all(p.grad is not None for p in model.parameters())


def test_the_closed_form_knows_addmm_s_factors_and_which_parameter_is_the_weight():
    class Factor(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.body, self.head = nn.Linear(4, 8), nn.Linear(8, 3)

        def forward(self, x):
            return torch.addmm(
                self.head.bias, self.body(x).tanh(), self.head.weight.t(), alpha=10.0
            )

    model = Factor()
    found = refined(model, "jvp", model(samples()), scope="head")
    close(found, refined(model, "jvp", scope="head"), 1e-5)


def test_the_head_of_logits_inside_a_checkpoint():
    class Recomputed(Normed):
        def forward(self, x):
            return checkpoint(super().forward, x, use_reentrant=False)

    model = Recomputed()
    logits = model(samples())
    before = copy.deepcopy(model.state_dict())
    found = refined(model, "jvp", logits, scope="head")
    close(found, refined(model, "jvp", scope="head"), 1e-5)
    assert all(torch.equal(before[n], v) for n, v in model.state_dict().items())


def test_a_parametrized_or_frozen_head_has_no_newton_step_of_a_part():
    model = mlp()
    nn.utils.parametrizations.weight_norm(model[2])
    with pytest.raises(ValueError, match=r"model: a last nn\.Linear with a weight to train"):
        saflex.newton_direction(model, samples(), Y)
    model = mlp()
    model[2].bias.requires_grad_(False)
    found = saflex.newton_direction(model, samples(), Y)
    unbiased = mlp()
    features = unbiased[:2](samples()).detach()
    a = features.T @ features / 24
    a = a + 0.01 * a.trace() / 8 * torch.eye(8)
    g = features.T @ (unbiased(samples()).softmax(1) - F.one_hot(Y, 3)) / 6
    assert [*found] == ["2.weight"]
    torch.testing.assert_close(
        found["2.weight"], torch.linalg.solve(a, g).T.detach(), rtol=1e-3, atol=1e-4
    )


def test_beliefs_that_are_not_finite_are_refused():
    x = samples()
    x[0] = float("nan")
    with pytest.raises(ValueError, match="log_p: log-probabilities"):
        saflex.Posterior(mlp())(x, Y, val=(samples(), Y))


def test_posterior_under_an_outer_autocast():
    model = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 3))
    expected = saflex.Posterior(model)(samples(), Y, val=(samples(), Y)).weights
    with torch.autocast("cpu", torch.bfloat16):
        found = saflex.Posterior(model)(samples(), Y, val=(samples(), Y)).weights
    torch.testing.assert_close(found, expected)


# --- who is asked ---------------------------------------------------------------------------------
def test_an_optimiser_of_another_model_is_refused():
    model = mlp()
    other = torch.optim.AdamW(copy.deepcopy(model).parameters())
    with pytest.raises(ValueError, match="optimizer: one that moves these parameters"):
        saflex.SAFLEX.calibrated(model, other)(samples(), Y, val=(samples(), Y))


def test_parameters_unfrozen_later_are_in_scope():
    model = mlp()
    model[0].requires_grad_(False)
    refine = saflex.SAFLEX(model)
    assert refine.names == ["2.weight", "2.bias"]
    model[0].requires_grad_(True)
    assert len(refine.names) == 4


def test_val_of_three_things_is_refused():
    for refine in (saflex.SAFLEX(mlp()), saflex.Posterior(mlp())):
        with pytest.raises(ValueError, match="val: "):
            refine(samples(), Y, val=(samples(), Y, Y))


def test_networks_whose_parameters_a_first_pass_makes_are_refused():
    lazy = nn.Sequential(nn.LazyLinear(8), nn.Linear(8, 3))
    with pytest.raises(ValueError, match="model: parameters, which a first pass makes"):
        saflex.inner_products(lazy, samples(), {"1.bias": torch.ones(3)})


def test_logits_of_minus_infinity_do_not_move():
    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = mlp()

        def forward(self, x):
            return self.net(x).index_fill(1, torch.tensor([2]), -torch.inf)

    found = saflex.inner_products(
        Masked(), samples(), direction_of(Masked()), "logits", "lookahead"
    )
    assert found.isfinite().all()
    assert (found[:, 2] == 0).all()


def test_inputs_of_another_length_than_the_labels_are_not_cut_in_halves():
    class Text(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.net = nn.Linear(4, 4)

        def forward(self, x):
            return self.net(x["images"]) @ x["classes"].T

    model, classes = Text(), samples(3, seed=7)
    given = {"images": samples(8, seed=1), "classes": classes}
    labels = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1])
    refine = saflex.SAFLEX(model, shrink=True, gumbel=0)
    found = refine.measure({"images": samples(), "classes": classes}, Y, val=(given, labels))
    halves = [
        lambda part=part: F.cross_entropy(
            model({"images": given["images"][part], "classes": classes}), labels[part]
        )
        for part in (slice(0, 4), slice(4, 8))
    ]
    expected = refine.measure({"images": samples(), "classes": classes}, Y, halves)
    torch.testing.assert_close(found, expected)


# --- what all threads share -----------------------------------------------------------------------
def test_threads_with_models_of_their_own_take_turns():
    state = (
        torch._dynamo.eval_frame._stance.stance,
        torch.backends.mha.get_fastpath_enabled(),
        torch.backends.cuda.matmul.fp32_precision,
    )
    faults, expected = [], refined(mlp(), "jvp")

    def work(model):
        try:
            for how in ("lookahead", "jvp") * 15:
                close(refined(model, how), expected, 1e-2)
        except Exception as error:  # reported below, in the thread of the test
            faults.append(error)

    threads = [threading.Thread(target=work, args=(mlp(),)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults
    assert state == (
        torch._dynamo.eval_frame._stance.stance,
        torch.backends.mha.get_fastpath_enabled(),
        torch.backends.cuda.matmul.fp32_precision,
    )
    assert "apply" not in vars(CheckpointFunction)


def test_a_precision_that_was_inherited_still_is():
    backends = torch.backends
    before = backends.fp32_precision
    try:
        backends.fp32_precision = "tf32"
        refined(mlp(), "jvp")
        backends.fp32_precision = "ieee"
        assert backends.cuda.matmul.fp32_precision == "ieee"
        assert backends.mkldnn.matmul.fp32_precision == "ieee"
    finally:
        backends.fp32_precision = before
