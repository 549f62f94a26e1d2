"""How good is the greedy step? Theorem 1's labels beside the best ones, where those can be had.

The problems are tiny, so that nothing has to be taken on trust: three Gaussian classes in the
plane, N = 6 clean points, B = 6 augmented ones of which two carry a wrong upstream label, and an
MLP with one hidden layer. Labels and weights are chosen to lower the validation loss after

    theta_k: k steps of size alpha down L(theta; T), from a given theta (the horizon k), or
    theta*:  argmin L(theta; T) + ridge / 2 |theta|^2 (the bilevel problem),
    L(theta; T) = (sum_clean -log p(y | x) + sum_i sum_k T_ik (-log p_ik)) / (N + B),

where the targets T (B, K) are T_ik = w_i y_ik: rows of the simplex, or zero for a dropped sample.
With K^B = 729 assignments of one-hot labels the best one is found by trying them all.

Everything is float64; theta is one flat vector, so that a step is plain arithmetic and `torch.func`
differentiates through it and maps over assignments.
"""

from collections.abc import Callable, Iterable
from math import sqrt
from typing import NamedTuple

import torch
import torch.nn.functional as F
from scipy.stats import t as student
from torch import Tensor, nn
from torch.func import functional_call, grad, grad_and_value, jacrev, vmap

import saflex

CLASSES, BATCH = 3, 6
MEASURES = ("as_best", "as_truth", "kept", "gain", "possible", "regret", "test_gain", "moved")

READINGS = {
    "greedy": {},
    "probabilities": {"space": "probs"},
    "centred": {"centre": True},
    "as printed": {"sign": -1.0},
}


# --- the problem ----------------------------------------------------------------------------------


class Points(NamedTuple):
    """x (N, 2) float64, y (N,) int64."""

    x: Tensor
    y: Tensor


class Problem(NamedTuple):
    """`augmented` has the upstream labels; `truth` (B,) int64 are the classes they came from."""

    clean: Points
    augmented: Points
    truth: Tensor
    validation: Points
    test: Points

    @property
    def upstream(self) -> Tensor:
        """The upstream labels as targets, (B, K)."""
        return one_hot(self.augmented.y)


def problem(seed: int, mislabelled: int = 2, spread: float = 0.7, noise: float = 0.5) -> Problem:
    """Classes of standard deviation `spread` around a triangle of radius 1; each clean point gives
    one augmented point, moved by `noise`, and `mislabelled` of these get another class's label."""
    generator = torch.Generator().manual_seed(seed)

    def normal(count: int) -> Tensor:
        return torch.randn(count, 2, dtype=torch.float64, generator=generator)

    def draw(count: int) -> Points:
        y = torch.arange(count) % CLASSES
        angle = 2 * torch.pi / CLASSES * y
        return Points(torch.stack([angle.cos(), angle.sin()], 1) + spread * normal(count), y)

    clean, validation, test = draw(BATCH), draw(30), draw(1500)
    shift = torch.randint(1, CLASSES, (BATCH,), generator=generator)
    shift[torch.randperm(BATCH, generator=generator)[mislabelled:]] = 0
    augmented = Points(clean.x + noise * normal(BATCH), (clean.y + shift) % CLASSES)
    return Problem(clean, augmented, clean.y, validation, test)


class Network:
    """An MLP with one hidden layer of `width` tanh units (none: 0), as a function of theta (P,).

    head_only: the hidden layer stays as drawn, so that L is convex in theta.
    """

    def __init__(self, width: int, seed: int, head_only: bool = False):
        with torch.random.fork_rng([]):
            torch.manual_seed(seed)
            hidden = [nn.Linear(2, width), nn.Tanh()] if width else []
            self.module = nn.Sequential(*hidden, nn.Linear(width or 2, CLASSES)).double()
        self.module[:-1].requires_grad_(not head_only)
        self._named = {n: p for n, p in self.module.named_parameters() if p.requires_grad}
        self.start = nn.utils.parameters_to_vector(self._named.values()).detach()

    def at(self, theta: Tensor) -> nn.Module:
        """The module with theta copied into its parameters."""
        nn.utils.vector_to_parameters(theta.clone(), self._named.values())
        return self.module

    def unflatten(self, theta: Tensor) -> dict[str, Tensor]:
        """(P,) as name -> tensor, the form in which `saflex` takes directions."""
        parts = theta.split([p.numel() for p in self._named.values()])
        return {n: t.view_as(p) for (n, p), t in zip(self._named.items(), parts, strict=True)}

    def logits(self, theta: Tensor, x: Tensor) -> Tensor:
        """(P,), (N, 2) -> (N, K)."""
        return functional_call(self.module, self.unflatten(theta), (x,))

    def loss(self, theta: Tensor, points: Points) -> Tensor:
        """Mean cross-entropy: the outer loss, on validation or test points."""
        return F.cross_entropy(self.logits(theta, points.x), points.y)

    def inner_loss(self, theta: Tensor, problem: Problem, targets: Tensor) -> Tensor:
        """L(theta; T) for targets (B, K)."""
        clean = F.cross_entropy(self.logits(theta, problem.clean.x), problem.clean.y)
        log_p = self.logits(theta, problem.augmented.x).log_softmax(1)
        return (len(problem.clean.y) * clean - (targets * log_p).sum()) / _samples(problem)


# --- inner problems: k steps, or all the way ------------------------------------------------------


def descend(
    network: Network, theta: Tensor, problem: Problem, targets: Tensor, alpha, steps: int = 1
) -> Tensor:
    """theta_k: `steps` gradient steps of size alpha down L(.; targets), differentiable: (P,)."""
    for _ in range(steps):
        theta = theta - alpha * grad(network.inner_loss)(theta, problem, targets)
    return theta


class Logistic:
    """The bilevel problem: theta* is a ridge-regularised logistic regression on fixed features.

    network: with `head_only` or width 0, so that z = J theta with a constant J, L is convex, and
    theta* is unique. Targets and theta may be mapped over.
    """

    def __init__(self, network: Network, problem: Problem, ridge: float):
        self.network, self.problem, self.ridge = network, problem, ridge
        x = torch.cat([problem.clean.x, problem.augmented.x])
        self.jacobian = jacrev(network.logits)(network.start, x)
        self.clean = one_hot(problem.clean.y)

    def derivatives(self, theta: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Gradient (P,) and Hessian (P, P) of L(.; targets) + ridge / 2 |.|^2."""
        rows = torch.cat([self.clean, targets])
        p, weights = (self.jacobian @ theta).softmax(1), rows.sum(1)[:, None]
        curvature = weights[..., None] * (torch.diag_embed(p) - p[:, :, None] * p[:, None, :])
        slope = torch.einsum("nk,nkp->p", weights * p - rows, self.jacobian) / len(rows)
        hessian = torch.einsum("nkp,nkl,nlq->pq", self.jacobian, curvature, self.jacobian)
        identity = torch.eye(len(theta), dtype=theta.dtype)
        return slope + self.ridge * theta, hessian / len(rows) + self.ridge * identity

    def optimum(self, targets: Tensor, theta: Tensor | None = None, steps: int = 20) -> Tensor:
        """theta* (P,), by damped Newton steps from theta (default 0); see `derivatives`."""
        theta = torch.zeros_like(self.network.start) if theta is None else theta
        for _ in range(steps):
            slope, curvature = self.derivatives(theta, targets)
            step = torch.linalg.solve(curvature, slope)
            theta = theta - step / (1 + (len(self.jacobian) * (slope @ step).clamp_min(0)).sqrt())
        return theta

    def loss(self, targets: Tensor) -> Tensor:
        """The validation loss at theta*(targets): ()."""
        return self.network.loss(self.optimum(targets), self.problem.validation)

    def gradient(self, theta: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """d/dT of the validation loss at theta = theta*(targets), and that loss: (B, K), ().

        By the implicit function theorem it is -Pi / (N + B) with the direction H^-1 g in place of
        g, H the Hessian of the regularised inner loss: the greedy formula with Newton's step.
        """
        g, value = grad_and_value(self.network.loss)(theta, self.problem.validation)
        _, curvature = self.derivatives(theta, targets)
        jacobian = self.jacobian[len(self.clean) :]
        p, pi = (jacobian @ theta).softmax(1), -(jacobian @ torch.linalg.solve(curvature, g))
        return -(pi - (p * pi).sum(1, keepdim=True)) / len(self.jacobian), value


# --- choices of labels ----------------------------------------------------------------------------


def greedy(network: Network, theta: Tensor, problem: Problem, **reading) -> Tensor:
    """Theorem 1's labels OneHot(argmax_k Pi_ik) at theta: (B, K).

    reading: keywords of `saflex.SAFLEX`, as in READINGS; by default log-probabilities, sign right.
    """
    model = network.at(theta)
    loss = F.cross_entropy(model(problem.validation.x), problem.validation.y)
    refiner = saflex.SAFLEX(model, gumbel=0.0, **reading)
    return one_hot(refiner(problem.augmented.x, problem.augmented.y, loss).inner_products.argmax(1))


def hypergradient(
    network: Network, theta: Tensor, problem: Problem, targets: Tensor, alpha, steps: int = 1
) -> tuple[Tensor, Tensor]:
    """d/dT of the validation loss at theta_k, by autograd through the unrolled steps; that loss.

    (B, K), (). For steps = 1 and alpha -> 0 the first is -alpha Pi / (N + B).
    """

    def loss(targets: Tensor) -> Tensor:
        return network.loss(
            descend(network, theta, problem, targets, alpha, steps), problem.validation
        )

    return grad_and_value(loss)(targets)


def assignments(drop: bool = False) -> Tensor:
    """All one-hot targets of the batch, (K^B, B, K); with `drop` also zero rows, (K+1)^B."""
    rows = torch.eye(CLASSES, dtype=torch.float64)
    if drop:
        rows = torch.cat([rows, torch.zeros_like(rows[:1])])
    return rows[torch.cartesian_prod(*[torch.arange(len(rows))] * BATCH)]


def best(loss: Callable[[Tensor], Tensor], candidates: Tensor) -> Tensor:
    """The candidate (B, K) among (A, B, K) with the lowest loss(T) -> (), the first if several."""
    return candidates[vmap(loss, chunk_size=1024)(candidates).argmin()]


def relax(
    gradient: Callable[[Tensor], tuple[Tensor, Tensor]],
    start: Tensor,
    tolerance: float = 1e-5,
    limit: int = 2000,
) -> tuple[Tensor, float]:
    """Soft labels that lower a loss until none is better to first order, by exponentiated gradient.

    gradient: labels (B, K) -> d loss / d labels (B, K), loss (). start: (B, K), inside the simplex.
    Returns the labels and their gap sum_i (y_i . d_i - min_k d_ik) >= 0, what a linear programme
    would still gain: at most `tolerance`, unless `limit` gradients were not enough. For a loss that
    is not convex in the labels this is a stationary point.
    """
    labels, rate = start, 10.0
    slope, value = gradient(labels)
    for _ in range(limit):
        gap = ((labels * slope).sum(1) - slope.amin(1)).sum()
        if gap <= tolerance:
            break
        moved = (labels.clamp_min(1e-300).log() - rate * slope).softmax(1)
        new_slope, new_value = gradient(moved)
        if new_value > value:
            rate /= 2
            continue
        labels, slope, value, rate = moved, new_slope, new_value, 1.5 * rate
    return labels, gap.item()


def one_hot(labels: Tensor) -> Tensor:
    """(B,) int64 -> (B, K) float64."""
    return F.one_hot(labels, CLASSES).double()


# --- studies: a record per method and setting -----------------------------------------------------


def starting_point(seed: int, width: int, warmup: int) -> tuple[Problem, Network, Tensor]:
    """Problem, network and theta after `warmup` steps of size 0.5 on the clean points."""
    given, network = problem(seed), Network(width, seed)
    nothing = torch.zeros(BATCH, CLASSES, dtype=torch.float64)
    return given, network, descend(network, network.start, given, nothing, 0.5, warmup)


def horizon(
    seed: int, width: int, alphas: Iterable[float], steps: int = 1, warmup: int = 20, drop=False
) -> list[dict]:
    """Labels chosen at theta, and the losses after `steps` steps with them, for each alpha.

    Methods: "upstream"; "truth"; READINGS; "unrolled": the lowest entry of the hypergradient at
    the upstream labels; "renewed" (steps > 1): greedy, chosen afresh at every step; "best": of all
    assignments; "best or drop" (with `drop`): also weights 0.
    """
    given, network, theta = starting_point(seed, width, warmup)
    fixed = {"upstream": given.upstream, "truth": one_hot(given.truth)}
    fixed |= {name: greedy(network, theta, given, **reading) for name, reading in READINGS.items()}
    records = []
    for alpha in alphas:

        def end(targets: Tensor, alpha: float = alpha) -> Tensor:
            return descend(network, theta, given, targets, alpha, steps)

        def loss(targets: Tensor, end=end) -> Tensor:
            return network.loss(end(targets), given.validation)

        slope, _ = hypergradient(network, theta, given, given.upstream, alpha, steps)
        chosen = {**fixed, "unrolled": one_hot(slope.argmin(1)), "best": best(loss, assignments())}
        if drop:
            chosen["best or drop"] = best(loss, assignments(drop=True))
        ends = {name: end(targets) for name, targets in chosen.items()}
        if steps > 1:
            ends["renewed"] = renewed(network, theta, given, alpha, steps)
        about = {"study": "steps", "seed": seed, "width": width, "alpha": alpha}
        about |= {"steps": steps, "warmup": warmup}
        records += _records(about, network, given, theta, chosen, ends)
    return records


def renewed(network: Network, theta: Tensor, problem: Problem, alpha: float, steps: int) -> Tensor:
    """theta after `steps` steps, each with the greedy labels of where it starts: (P,)."""
    for _ in range(steps):
        theta = descend(network, theta, problem, greedy(network, theta, problem), alpha)
    return theta


def bilevel(seed: int, width: int, ridge: float = 0.03, alpha: float = 0.5) -> list[dict]:
    """Labels and the losses at theta*, logistic regression on `width` fixed features (0: on x).

    Methods: "upstream"; "truth"; READINGS, at theta*(upstream); "unrolled": the lowest entry of the
    implicit gradient there, the limit of many steps; "renewed": the labels' mean over the last 200
    of 300 steps of size alpha down the regularised inner loss, greedy ones chosen afresh at each;
    "relaxed": soft labels, the better of the stationary points reached from even labels and from
    the best ones, `gap` as in `relax`; "best": of all one-hot assignments.
    """
    given, network = problem(seed), Network(width, seed, head_only=True)
    inner = Logistic(network, given, ridge)
    start = inner.optimum(given.upstream)
    chosen = {"upstream": given.upstream, "truth": one_hot(given.truth)}
    chosen |= {name: greedy(network, start, given, **reading) for name, reading in READINGS.items()}
    chosen["unrolled"] = one_hot(inner.gradient(start, given.upstream)[0].argmin(1))
    chosen["best"] = best(inner.loss, assignments())

    theta, seen = start, []
    for _ in range(300):
        seen.append(greedy(network, theta, given))
        theta = theta - alpha * inner.derivatives(theta, seen[-1])[0]
    chosen["renewed"] = torch.stack(seen[100:]).mean(0)

    def gradient(targets: Tensor) -> tuple[Tensor, Tensor]:
        nonlocal theta
        theta = inner.optimum(targets, theta, steps=5)
        return inner.gradient(theta, targets)

    even = torch.full_like(given.upstream, 1 / CLASSES)
    found = [relax(gradient, y) for y in (even, 0.9 * chosen["best"] + 0.1 * even)]
    chosen["relaxed"], gap = min(found, key=lambda pair: inner.loss(pair[0]).item())
    ends = {name: inner.optimum(targets) for name, targets in chosen.items()}
    about = {"study": "bilevel", "seed": seed, "width": width, "ridge": ridge, "gap": gap}
    return _records(about, network, given, start, chosen, ends)


def _records(about, network, problem, theta, chosen, ends) -> list[dict]:
    """A record per method: what it has in common with the best and the true labels, what it buys.

    as_best, as_truth: shares of its labels that are the same; kept: share of weights above 0;
    validation, test: losses. Of validation: gain over "upstream", possible (the gain of "best") and
    regret, their difference; test_gain. moved: how far the upstream step carries the predictions,
    the mean total variation distance on validation points.
    """
    p, q = (network.logits(t, problem.validation.x).softmax(1) for t in (theta, ends["upstream"]))
    moved = (p - q).abs().sum(1).mean().item() / 2
    reference = chosen["best"].argmax(1)
    records = []
    for name, end in ends.items():
        record = {**about, "method": name, "moved": moved}
        if name in chosen:
            kept, labels = chosen[name].sum(1) > 0, chosen[name].argmax(1)
            record |= {
                "as_best": ((labels == reference) & kept).double().mean().item(),
                "as_truth": ((labels == problem.truth) & kept).double().mean().item(),
                "kept": kept.double().mean().item(),
            }
        for split in ("validation", "test"):
            record[split] = network.loss(end, getattr(problem, split)).item()
        records.append(record)
    by = {r["method"]: r for r in records}
    for record in records:
        record["gain"] = by["upstream"]["validation"] - record["validation"]
        record["possible"] = by["upstream"]["validation"] - by["best"]["validation"]
        record["regret"] = record["possible"] - record["gain"]
        record["test_gain"] = by["upstream"]["test"] - record["test"]
    return records


def interval(values: Iterable[float]) -> tuple[float, float]:
    """Mean and half-width of its 95 % interval (Student's t); nan from fewer than two values."""
    values = torch.tensor(list(values), dtype=torch.float64)
    if len(values) < 2:
        return values.mean().item(), float("nan")
    error = values.std().item() / sqrt(len(values))
    return values.mean().item(), float(student.ppf(0.975, len(values) - 1)) * error


def summarise(records: Iterable[dict], *keys: str) -> list[dict]:
    """A row per value of `keys`, over seeds: `seeds`, means, and 95 % half-widths as `<name>_pm`.

    captured: the mean gain as a share of the mean possible gain (its interval by the delta method).
    """
    groups: dict[tuple, list[dict]] = {}
    for record in records:
        groups.setdefault(tuple(record[key] for key in keys), []).append(record)
    rows = []
    for values, group in groups.items():
        row = {**dict(zip(keys, values, strict=True)), "seeds": len(group)}
        for name in MEASURES:
            if all(name in record for record in group):
                row[name], row[f"{name}_pm"] = interval(record[name] for record in group)
        share = row["gain"] / row["possible"]
        _, error = interval(r["gain"] - share * r["possible"] for r in group)
        rows.append({**row, "captured": share, "captured_pm": error / row["possible"]})
    return rows


def _samples(problem: Problem) -> int:
    return len(problem.clean.y) + len(problem.augmented.y)
