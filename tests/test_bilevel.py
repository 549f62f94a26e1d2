"""The yardsticks of the greedy step, each against something simpler."""

import pytest
import torch
from torch.func import vmap

import saflex
from replication import bilevel

RIDGE = 0.03


@pytest.fixture(scope="module")
def point():
    """A problem, a network of width 5 and theta after some training."""
    return bilevel.starting_point(seed=3, width=5, warmup=20)


@pytest.fixture(scope="module")
def logistic():
    return bilevel.Logistic(bilevel.Network(4, 1, head_only=True), bilevel.problem(1), RIDGE)


@pytest.fixture(scope="module")
def soft():
    generator = torch.Generator().manual_seed(0)
    shape = (bilevel.BATCH, bilevel.CLASSES)
    return torch.rand(shape, dtype=torch.float64, generator=generator).softmax(1)


def differences(loss, targets, h=1e-5):
    """Central differences of loss(targets) for every entry."""
    slope = torch.zeros_like(targets)
    for at in torch.cartesian_prod(*map(torch.arange, targets.shape)).tolist():
        shift = torch.zeros_like(targets)
        shift[tuple(at)] = h
        slope[tuple(at)] = (loss(targets + shift) - loss(targets - shift)) / (2 * h)
    return slope


def test_problem_has_its_mislabelled_points():
    given = bilevel.problem(0, mislabelled=2)
    assert int((given.augmented.y != given.truth).sum()) == 2
    assert torch.equal(given.augmented.x, bilevel.problem(0).augmented.x)
    assert not torch.equal(given.augmented.x, bilevel.problem(1).augmented.x)


@pytest.mark.parametrize("steps", [1, 5, 20])
def test_unrolled_hypergradient_is_the_finite_difference(point, soft, steps):
    given, network, theta = point

    def loss(targets):
        end = bilevel.descend(network, theta, given, targets, 0.3, steps)
        return network.loss(end, given.validation)

    slope, value = bilevel.hypergradient(network, theta, given, soft, 0.3, steps)
    assert torch.allclose(slope, differences(loss, soft), rtol=1e-6, atol=1e-9)
    assert torch.allclose(value, loss(soft))


def test_unrolled_hypergradient_of_a_short_step_is_the_inner_product(point, soft):
    given, network, theta = point
    model = network.at(theta)
    loss = torch.nn.functional.cross_entropy(model(given.validation.x), given.validation.y)
    g = saflex.validation_gradient(model, loss)
    pi = saflex.inner_products(model, given.augmented.x, g).double()
    alpha = 1e-6
    slope, _ = bilevel.hypergradient(network, theta, given, soft, alpha)
    assert torch.allclose(slope, -alpha * pi / 12, rtol=1e-4, atol=1e-10)


def test_optimum_is_stationary_for_every_assignment(logistic):
    candidates = bilevel.assignments(drop=True)[::5]
    theta = vmap(logistic.optimum)(candidates)
    slope, _ = vmap(logistic.derivatives)(theta, candidates)
    assert slope.norm(dim=1).max() < 1e-9


def test_derivatives_are_those_of_the_inner_loss(logistic, soft):
    theta = logistic.network.start

    def regularised(theta):
        inner = logistic.network.inner_loss(theta, logistic.problem, soft)
        return inner + RIDGE / 2 * theta @ theta

    slope, curvature = logistic.derivatives(theta, soft)
    assert torch.allclose(slope, torch.func.grad(regularised)(theta), atol=1e-12)
    assert torch.allclose(curvature, torch.func.hessian(regularised)(theta), atol=1e-12)


def test_implicit_gradient_is_the_finite_difference_of_the_solved_problem(logistic, soft):
    slope, value = logistic.gradient(logistic.optimum(soft), soft)
    assert torch.allclose(slope, differences(logistic.loss, soft), rtol=1e-6, atol=1e-9)
    assert torch.allclose(value, logistic.loss(soft))


def test_implicit_gradient_is_the_greedy_formula_along_newtons_step(logistic, soft):
    network, given = logistic.network, logistic.problem
    theta = logistic.optimum(soft)
    g = torch.func.grad(network.loss)(theta, given.validation)
    newton = torch.linalg.solve(logistic.derivatives(theta, soft)[1], g)
    direction = network.unflatten(newton)
    pi = saflex.inner_products(network.at(theta), given.augmented.x, direction)
    slope, _ = logistic.gradient(theta, soft)
    assert torch.allclose(slope, -pi.double() / 12, rtol=1e-4, atol=1e-7)


def test_many_steps_lead_to_the_optimum(logistic, soft):
    theta = logistic.network.start
    for _ in range(3000):
        theta = theta - 0.5 * logistic.derivatives(theta, soft)[0]
    assert torch.allclose(theta, logistic.optimum(soft), atol=1e-8)


def test_assignments_are_all_and_distinct():
    kept, dropped = bilevel.assignments(), bilevel.assignments(drop=True)
    assert kept.shape == (3**6, 6, 3)
    assert dropped.shape == (4**6, 6, 3)
    for some in (kept, dropped):
        assert len(some.flatten(1).unique(dim=0)) == len(some)
    assert torch.equal(kept.sum(2), torch.ones(3**6, 6, dtype=torch.float64))


@pytest.mark.parametrize("drop", [False, True])
def test_best_finds_the_hand_made_answer(drop):
    wanted = bilevel.one_hot(torch.tensor([2, 0, 1, 1, 0, 2]))
    if drop:
        wanted[3] = 0
    found = bilevel.best(lambda t: (t - wanted).square().sum(), bilevel.assignments(drop))
    assert torch.equal(found, wanted)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("width", [0, 8])
def test_greedy_is_the_best_of_short_steps(seed, width):
    rows = bilevel.horizon(seed, width, [1e-4])
    assert {r["method"]: r["as_best"] for r in rows}["greedy"] == 1


def test_as_printed_chooses_the_worst_of_short_steps(point):
    given, network, theta = point
    printed = bilevel.greedy(network, theta, given, sign=-1.0)

    def fall(targets):
        return -network.loss(
            bilevel.descend(network, theta, given, targets, 1e-4), given.validation
        )

    assert torch.equal(printed, bilevel.best(fall, bilevel.assignments()))


def test_relax_finds_a_projection():
    inside = torch.full((6, 3), 1 / 3, dtype=torch.float64)
    wanted = torch.tensor([[0.2, 0.3, 0.5]], dtype=torch.float64).expand(6, 3)
    distance = torch.func.grad_and_value(lambda y: (y - wanted).square().sum())
    labels, gap = bilevel.relax(distance, inside)
    assert gap <= 1e-5
    assert torch.allclose(labels, wanted, atol=1e-2)


def test_bilevel_records_order_the_methods():
    by = {r["method"]: r for r in bilevel.bilevel(0, 0)}
    assert by["relaxed"]["gap"] <= 1e-5
    assert by["relaxed"]["validation"] <= by["best"]["validation"]
    one_hot = {"upstream", "truth", "unrolled", *bilevel.READINGS}
    assert all(by[name]["regret"] >= 0 for name in one_hot)
    assert by["upstream"]["gain"] == 0


def test_horizon_records_hold_every_method():
    rows = bilevel.horizon(0, 4, [0.3, 1.0], steps=2, drop=True)
    assert len(rows) == 2 * 10
    assert min(r["regret"] for r in rows if r["method"] != "renewed") <= 0
    by = {r["method"]: r for r in rows if r["alpha"] == 0.3}
    assert by["best or drop"]["validation"] <= by["best"]["validation"]


def test_summaries():
    assert bilevel.interval([1.0, 3.0]) == pytest.approx((2.0, 12.706), abs=1e-3)
    rows = [r for seed in range(3) for r in bilevel.horizon(seed, 0, [0.1])]
    by = {r["method"]: r for r in bilevel.summarise(rows, "method", "alpha")}
    assert by["best"]["captured"] == pytest.approx(1)
    assert by["best"]["captured_pm"] == pytest.approx(0, abs=1e-9)
    assert by["upstream"]["captured"] == 0
    assert by["greedy"]["seeds"] == 3
