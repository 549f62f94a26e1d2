"""LP-A3 moves images as far as the label allows, by the objective's own gradient."""

import copy
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F

from replication.models.images.resnet import ResNet
from replication.settings import models, upstreams
from replication.upstream.images.adversarial import LPA3, embed

CLASSES = 3


def lpa3(**settings):
    return LPA3(upstreams.LPA3(kind="lp-a3", **settings), CLASSES)


def images(count=16, side=8, channels=1):
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (count, channels, side, side), generator=generator)
    return pixels.to(torch.uint8), torch.arange(count) % CLASSES


def network(width=8):
    """A forward with statistics of its own and confident predictions."""
    torch.manual_seed(1)
    settings = models.ResNet(kind="resnet", learning_rate=0.01, width=width)
    model = ResNet(settings, 1, CLASSES)
    inputs, labels = images(60)
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(40):
        loss = F.cross_entropy(model(inputs / 127.5 - 1), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


@pytest.fixture(scope="module")
def model():
    return network()


def forward_of(model):
    return lambda x: model.representations(x / 127.5 - 1)


def probability(model, inputs, labels):
    with torch.no_grad():
        return model(inputs / 127.5 - 1).softmax(1)[torch.arange(len(labels)), labels]


def distance(model, first, second):
    """Perceptual distance: layers in turn, mean over positions, (B,)."""
    with torch.no_grad():
        pairs = [forward_of(model)(x.float())[:-1] for x in (first, second)]
    total = 0.0
    for layers in zip(*pairs, strict=True):
        u, v = (z / z.square().sum(1, keepdim=True).sqrt().clamp_min(1e-12) for z in layers)
        total += (u - v).square().sum(1).mean((1, 2))
    return total.sqrt()


def draw(upstream, forward, seed=0, **batch):
    inputs, labels = images(**batch)
    return upstream(inputs, labels, torch.Generator().manual_seed(seed), forward)[0]


def test_the_distance_is_the_one_defined(model):
    inputs, _ = images(4)
    others = inputs.flip(-1)
    with torch.no_grad():
        a, b = (embed(forward_of(model)(x.float())[:-1]) for x in (inputs, others))
    torch.testing.assert_close((a - b).norm(dim=1), distance(model, inputs, others))


def test_images_move_farther_than_noise_of_the_same_size_does(model):
    inputs, _ = images()
    moved = draw(lpa3(epsilon=8, margin=1.0), forward_of(model))
    change = moved.float() - inputs.float()
    shuffled = change.flatten()[torch.randperm(change.numel())].view_as(change)
    noisy = (inputs.float() + shuffled).clamp(0, 255)
    ours, theirs = distance(model, inputs, moved), distance(model, inputs, noisy)
    assert (ours > theirs).all()
    assert ours.mean() > 2 * theirs.mean()


def test_more_iterations_and_a_wider_bound_move_farther(model):
    inputs, _ = images()
    settings = {"few": (8, 1), "more": (8, 8), "wider": (24, 8)}
    few, more, wider = (
        distance(
            model, inputs, draw(lpa3(epsilon=e, margin=1.0, iterations=t), forward_of(model))
        ).mean()
        for e, t in settings.values()
    )
    assert few < more < wider


@pytest.mark.parametrize("margin", [0.0, 0.05, 0.3])
def test_the_labels_probability_falls_by_no_more_than_the_margin(model, margin):
    inputs, labels = images()
    before = probability(model, inputs, labels)

    def after(margin):
        moved = draw(lpa3(epsilon=32, margin=margin, iterations=8), forward_of(model))
        return probability(model, moved, labels)

    assert ((before - after(1.0)) > margin).any(), "the constraint is put to no test"
    assert ((before - after(margin)) <= margin + 1e-5).all()


def test_the_penalty_leads_back_to_where_the_label_is_kept(model):
    """With the multiplier all but off, fewer images get away from where they started."""
    inputs, _ = images(60)

    def reached(penalty):
        upstream = lpa3(epsilon=32, margin=0.02, iterations=8, penalty=penalty)
        return distance(model, inputs, draw(upstream, forward_of(model), count=60)).mean()

    assert reached(10.0) > 1.05 * reached(1e-9)


@pytest.mark.parametrize("epsilon", [1, 4, 255])
def test_pixels_stay_within_the_bound_and_the_range(model, epsilon):
    inputs, _ = images()
    moved = draw(lpa3(epsilon=epsilon, margin=1.0), forward_of(model))
    assert moved.dtype == torch.uint8
    change = (moved.int() - inputs.int()).abs()
    assert 0 < change.max() <= epsilon


def test_a_step_goes_along_the_gradient_of_the_objective():
    """One step, from where it starts, against central differences of distance minus violation."""
    torch.manual_seed(0)
    first, second = torch.nn.Conv2d(1, 5, 3), torch.nn.Linear(5 * 9, CLASSES)
    first, second = first.double(), second.double()

    def forward(x):
        maps = first(x.double() / 100).sigmoid()
        return [maps, 20 * second(maps.flatten(1))]

    inputs, labels = images(4, side=5)
    seen = []

    def spy(x):
        seen.append(x.detach().clone())
        return forward(x)

    upstream = lpa3(epsilon=40, margin=0.001, iterations=1, penalty=3.0)
    draw(upstream, spy, count=4, side=5)
    clean, start, moved = seen

    def objective(x):
        *features, logits = forward(x)
        kept = logits.softmax(1)[torch.arange(4), labels]
        before = forward(clean)[-1].softmax(1)[torch.arange(4), labels]
        d = (embed(features) - embed(forward(clean)[:-1])).norm(dim=1)
        return d - 3.0 * (before.float() - kept.float() - 0.001).clamp_min(0).double()

    h, numeric = 1e-2, torch.zeros_like(start, dtype=torch.double)
    for i in range(25):
        bump = torch.zeros(25).index_fill(0, torch.tensor([i]), h).view(1, 1, 5, 5).double()
        difference = objective(start.double() + bump) - objective(start.double() - bump)
        numeric[:, 0, i // 5, i % 5] = difference / (2 * h)
    clear = numeric.abs() > 0.1 * numeric.abs().mean()
    expected = start + 40 * numeric.sign()
    expected = inputs + (expected - inputs).clamp(-40, 40)
    assert clear.float().mean() > 0.8
    assert torch.equal(moved[clear], expected.clamp(0, 255).float()[clear])


def test_of_all_images_on_the_way_the_farthest_that_keeps_its_label_is_returned(model):
    _, labels = images()
    way = []

    def spy(x):
        way.append(x.detach().clone())
        return forward_of(model)(x)

    returned = draw(lpa3(epsilon=32, margin=0.02, iterations=8), spy)
    clean, *way = way
    floor = probability(model, clean, labels) - 0.02
    distances = torch.stack([distance(model, clean, x) for x in way])
    allowed = torch.stack([probability(model, x, labels) >= floor for x in way])
    assert not allowed.all()
    farthest = distances.where(allowed, torch.zeros(())).amax(0)
    assert not torch.equal(farthest, distances[-1])
    torch.testing.assert_close(distance(model, clean, returned), farthest)


def test_steps_shrink_tenfold(model):
    way = []

    def spy(x):
        way.append(x.detach().clone())
        return forward_of(model)(x)

    draw(lpa3(epsilon=100, iterations=4), spy)
    sizes = [(b - a).abs().max().item() for a, b in pairwise(way[1:])]
    assert sizes == pytest.approx([100 / 10 ** (t / 3) for t in range(4)], abs=1)


def test_only_the_generator_decides_and_nothing_else_changes(model):
    model = copy.deepcopy(model)
    state = copy.deepcopy(model.state_dict())
    gradients = [torch.randn_like(p) for p in model.parameters()]
    for p, gradient in zip(model.parameters(), gradients, strict=True):
        p.grad = gradient.clone()
    random = torch.get_rng_state()
    upstream = lpa3()
    first, again, other = (draw(upstream, forward_of(model), seed) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), random)
    for p, gradient in zip(model.parameters(), gradients, strict=True):
        assert torch.equal(p.grad, gradient)
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())


def test_a_sample_alone_comes_out_as_in_its_batch(model):
    inputs, labels = images(6)
    upstream, forward = lpa3(), forward_of(model)
    together, soft = upstream(inputs, labels, torch.Generator().manual_seed(0), forward)
    alone, one = upstream(inputs[:1], labels[:1], torch.Generator().manual_seed(0), forward)
    assert torch.equal(alone[0], together[0])
    assert torch.equal(soft, torch.eye(CLASSES)[labels])
    assert torch.equal(one, soft[:1])


def test_constant_images_and_dead_units_give_finite_results():
    def dead(x):
        return [x * 0.0, (x * 0.0).flatten(1)[:, :CLASSES]]

    inputs = torch.zeros(2, 1, 4, 4, dtype=torch.uint8)
    moved, _ = lpa3()(inputs, torch.tensor([0, 1]), torch.Generator().manual_seed(0), dead)
    assert torch.equal(moved, inputs)
