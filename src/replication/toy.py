"""The paper's Figure 2 in the plane: Gaussian perturbation of few points, with the truth known.

Three classes live on interleaved spiral arms. The upstream moves a training point by Gaussian noise
of strength sigma and keeps its label: too little teaches nothing, too much carries points into the
gaps or among another class. Since the generating density is known, every refined weight and label
can be judged.

Settings are a profile's `toy` (`settings.Toy`) as a mapping. A refiner is an entry of params.yaml
with its reading (`settings.AnyRefiner`, `settings.AnyReading` or None), or ORACLE.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise, product
from math import pi, sqrt
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from replication import refiners
from replication.refiners import Refined, soft_cross_entropy
from replication.settings import AnyReading, AnyRefiner

Settings = Mapping[str, Any]
Refiner = tuple[AnyRefiner, AnyReading | None]

ORACLE = "oracle"
CLASSES, EXTENT = 3, 3.0


class Points(NamedTuple):
    """x (N, 2) float32, y (N,) int64."""

    x: Tensor
    y: Tensor


class Sets(NamedTuple):
    train: Points
    validation: Points
    test: Points


@dataclass(frozen=True)
class Truth:
    """The generating distribution: equally likely classes, each a mixture of equal round Gaussians.

    spread: their standard deviation. twist: how far an arm turns (radians per unit of radius).
    """

    spread: float
    twist: float

    @cached_property
    def centres(self) -> Tensor:
        """(K, 8, 2): the Gaussians' centres, along the arm of each class."""
        radius = torch.linspace(0.4, 2.0, 8)
        angle = 2 * pi / CLASSES * torch.arange(CLASSES)[:, None] + self.twist * radius
        return torch.stack([radius * angle.cos(), radius * angle.sin()], dim=-1)

    def draw(self, count: int, generator: torch.Generator) -> Points:
        """`count` points, the classes in turn."""
        y = torch.arange(count) % CLASSES
        at = torch.randint(self.centres.shape[1], (count,), generator=generator)
        noise = torch.randn(count, 2, generator=generator)
        return Points(self.centres[y, at] + self.spread * noise, y)

    def log_densities(self, x: Tensor) -> Tensor:
        """log p(x | class): (..., 2) -> (..., K)."""
        squared = (x[..., None, None, :] - self.centres).square().sum(-1) / self.spread**2
        scale = torch.tensor(2 * pi * self.spread**2 * self.centres.shape[1])
        return (-squared / 2).logsumexp(-1) - scale.log()

    def labels(self, x: Tensor) -> Tensor:
        """The most probable class, Bayes's decision: (..., 2) -> (...) int64."""
        return self.log_densities(x).argmax(-1)

    def empty(self, x: Tensor) -> Tensor:
        """Beyond 3 spreads of every centre, as less than 1 % of true points: (..., 2) -> (...)."""
        distances = (x[..., None, None, :] - self.centres).norm(dim=-1)
        return (distances > 3 * self.spread).flatten(-2).all(-1)


def truth(settings: Settings) -> Truth:
    return Truth(settings["spread"], settings["twist"])


def sample(settings: Settings, seed: int) -> Sets:
    """Training, validation and test points of a seed, whatever the refiner and sigma."""
    generator = _generator(seed, 0)
    return Sets(*(truth(settings).draw(settings[name], generator) for name in Sets._fields))


def network(settings: Settings, generator: torch.Generator) -> nn.Sequential:
    """(B, 2) -> (B, K) logits: one hidden ReLU layer; weights and biases uniform in 1/sqrt(fan)."""
    sizes = (2, settings["hidden"], CLASSES)
    first, last = (nn.utils.skip_init(nn.Linear, a, b) for a, b in pairwise(sizes))
    for layer in (first, last):
        for parameter in layer.parameters():
            bound = 1 / sqrt(layer.in_features)
            nn.init.uniform_(parameter, -bound, bound, generator=generator)
    return nn.Sequential(first, nn.ReLU(), last)


@contextmanager
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@one_thread()
def train(
    settings: Settings,
    refiner: Refiner | str,
    sigma: float,
    seed: int,
    snapshots: Sequence[int] = (),
) -> dict[str, Any]:
    """One run on perturbed points. Every refiner sees the same data, network, batches and noise.

    refiner: ORACLE has the Bayes labels, and nothing from empty regions.
    snapshots: at which steps (updates done; `steps` itself is the end) to take one.
    Returns `accuracy` and `bayes` (shares of the test points that the network and Bayes's decision
    get right), what `diagnose` says of all steps, the trained `model`, and `snapshots`: dicts of
    `step`, `origin` (B, 2: the training points), `regions` (see `decisions`), and the tensors that
    `diagnose` takes, of this step.
    """
    world, sets = truth(settings), sample(settings, seed)
    points, oracle = sets.train, refiner == ORACLE
    if not oracle and refiner[0].train_on_validation:
        points = Points(*map(torch.cat, zip(sets.train, sets.validation, strict=True)))
    model = network(settings, _generator(seed, 1))
    optimizer = torch.optim.Adam(model.parameters(), settings["learning_rate"], fused=True)
    batches, noise, halves, own = (_generator(seed, stream) for stream in (2, 3, 4, 5))
    refine = Oracle(world) if oracle else refiners.build(*refiner, model, optimizer, own)

    states, taken = [], []
    for step in range(settings["steps"] + 1):
        rows = torch.randperm(len(points.x), generator=batches)[: settings["batch_size"]]
        x, y = points.x[rows], points.y[rows]
        x_aug = x + sigma * torch.randn(x.shape, generator=noise)
        shuffled = torch.randperm(len(sets.validation.x), generator=halves)
        validation = (sets.validation.x[shuffled], sets.validation.y[shuffled])
        logits = model(x_aug)
        refined = refine(x_aug, F.one_hot(y, CLASSES).float(), validation, logits)
        state = {
            "x": x_aug,
            "upstream": y,
            "labels": refined.labels,
            "weights": refined.weights,
            "inner_products": refined.inner_products,
            "reliability": refined.reliability,
        }
        if step in snapshots:
            regions = decisions(model, settings["grid"])
            taken.append({"step": step, "origin": x, "regions": regions, **state})
        if step == settings["steps"]:
            break
        states.append(state)
        loss = soft_cross_entropy(logits, refined.labels, refined.weights)
        if settings["batch"] == "clean-augmented":
            loss = (loss + F.cross_entropy(model(x), y)) / 2
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    with torch.no_grad():
        right = model(sets.test.x).argmax(1) == sets.test.y
    bayes = world.labels(sets.test.x) == sets.test.y
    return {
        "accuracy": right.float().mean().item(),
        "bayes": bayes.float().mean().item(),
        **diagnose(world, **{key: torch.stack([s[key] for s in states]) for key in states[0]}),
        "model": model,
        "snapshots": taken,
    }


@dataclass(frozen=True)
class Oracle:
    """The refiner that knows the truth: Bayes's labels, no weight in empty regions."""

    world: Truth

    def __call__(self, inputs: Tensor, labels: Tensor, validation, logits) -> Refined:
        kept = (~self.world.empty(inputs)).float()
        true = F.one_hot(self.world.labels(inputs), CLASSES).float()
        weights = kept / kept.sum().clamp_min(1)
        return Refined(weights, true, torch.zeros_like(labels), torch.ones(()))


@torch.no_grad()
def map_plane(of: Callable[[Tensor], Tensor], grid: int) -> Tensor:
    """of((N, 2)) -> (N,) on a (grid, grid) lattice over [-EXTENT, EXTENT]^2, rows by height."""
    axis = torch.linspace(-EXTENT, EXTENT, grid)
    return of(torch.cartesian_prod(axis, axis).flip(1)).view(grid, grid)


def decisions(model: nn.Module, grid: int) -> Tensor:
    """The class that the network chooses, on the lattice of `map_plane`."""
    return map_plane(lambda x: model(x).argmax(1), grid)


def diagnose(
    world: Truth,
    x: Tensor,
    upstream: Tensor,
    labels: Tensor,
    weights: Tensor,
    inner_products: Tensor,
    reliability: Tensor,
) -> dict[str, float | None]:
    """What became of the augmented samples of T steps, by the generating density.

    x (T, B, 2), upstream (T, B) int64, labels and inner_products (T, B, K), weights (T, B),
    reliability (T,). A label is wrong if it is not Bayes's; a sample is dropped if it weighs less
    than half an even share, relabelled if its heaviest class is not the upstream's. Shares and
    weights (1: an even share) are over all steps, None where nothing is there to share:

    wrong, empty: share of samples with a wrong upstream label, in empty regions.
    wrong_dropped, wrong_corrected: of the wrong ones, dropped; given Bayes's label.
    right_dropped, right_relabelled: of the right ones, dropped; given another label.
    wrong_weight, empty_weight: their mean weight.
    detection: probability that a wrong sample has a lower Pi . y_aug than a right one of its batch.
    """
    bayes, empty = world.labels(x), world.empty(x)
    wrong, right = upstream != bayes, upstream == bayes
    share = weights * weights.shape[1]
    dropped, chosen = share < 0.5, labels.argmax(-1)
    score = inner_products.gather(-1, upstream[..., None])[..., 0]
    gap = score[:, None, :] - score[:, :, None]
    pairs = wrong[:, :, None] & right[:, None, :]

    def mean(values: Tensor, among: Tensor) -> float | None:
        return values[among].float().mean().item() if among.any() else None

    return {
        "wrong": wrong.float().mean().item(),
        "empty": empty.float().mean().item(),
        "wrong_dropped": mean(dropped, wrong),
        "wrong_corrected": mean(chosen == bayes, wrong),
        "right_dropped": mean(dropped, right),
        "right_relabelled": mean(chosen != bayes, right),
        "wrong_weight": mean(share, wrong),
        "empty_weight": mean(share, empty),
        "detection": mean((gap > 0) + 0.5 * (gap == 0), pairs),
        "reliability": reliability.mean().item(),
    }


def sweep(
    settings: Settings,
    refiners: Mapping[str, Refiner],
    seeds: Iterable[int],
    over: Callable[[Callable, list], Iterable] = map,
) -> list[dict[str, Any]]:
    """A record per run: sigma, refiner, seed, accuracy, bayes, and `diagnose`'s.

    refiners: by name; ORACLE is added to them. over: maps a function over the runs, in their order;
    give a process pool's for several at a time.
    """
    named = {**refiners, ORACLE: ORACLE}
    runs = list(product(settings["sigmas"], named, seeds))
    return list(over(partial(_record, settings, named), runs))


def _record(settings, named, run) -> dict[str, Any]:
    sigma, name, seed = run
    result = train(settings, named[name], sigma, seed)
    numbers = {key: result[key] for key in result if key not in ("model", "snapshots")}
    return {"sigma": sigma, "refiner": name, "seed": seed, **numbers}


def _generator(seed: int, stream: int) -> torch.Generator:
    return torch.Generator().manual_seed(1_000 * seed + stream)
