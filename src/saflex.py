"""SAFLEX: weights and soft labels for augmented samples, from validation gradients (2410.02512).

Augmented samples x_i get the weights w_i and soft labels y_i that lower the validation loss most,
to first order in a, after a step theta - a grad L_aug on L_aug = sum_i w_i sum_k y_ik (-log p_ik).
With the validation gradient g it falls by a <g, grad L_aug> = a sum_i w_i (y_i . Pi_i), where

    Pi_ik = <g, grad(-log p_ik)> = -(d/de) log p_k(x_i; theta + e g) at e = 0    (Eq. 9, sign right)

is a directional derivative of the outputs, and the best w and y solve a linear programme, sample by
sample. B is the batch, K the number of classes. Bad input gets a ValueError. A call leaves model,
.grad and the random states of torch, Python and NumPy as they were, but for what a pass changes
inside lists, dicts and other objects in attributes. Calls from several threads take turns.
"""

import operator
import random
import sys
from collections import OrderedDict
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack, suppress
from dataclasses import KW_ONLY, dataclass
from functools import partial, wraps
from threading import RLock
from typing import Any, ParamSpec, Self, TypeVar
from unittest.mock import patch

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Generator, Tensor, nn
from torch.autograd.forward_ad import dual_level, make_dual, unpack_dual
from torch.backends import mha
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.parameter import is_lazy
from torch.nn.utils import get_total_norm, parametrize
from torch.utils._pytree import tree_map_only
from torch.utils.checkpoint import CheckpointFunction

SPACES, HOWS = ("log_probs", "probs", "logits"), ("jvp", "lookahead", "head")
WEIGHT_RULES = ("label", "sum", "gate", "positive", "all")
CHOICES: dict[str, tuple[Any, ...]]
CHOICES = {"space": SPACES, "how": HOWS, "weight_rule": WEIGHT_RULES, "sign": (1, -1)}
CHOICES["reduction"] = ("mean", "sum")
TINY = 1e-30
BACKENDS: Any = torch.backends  # stubs lack precisions
LEAST = {"ridge": 0, "beta": 0, "gumbel": 0, "slope": 0, "temperature": TINY, "epsilon": TINY}
GENERATORS: dict[tuple[torch.device, int], Generator] = {}  # those of `solve`, by device and seed
Params = ParamSpec("Params")
Result = TypeVar("Result")
Forward = Callable[[Any, Any], Tensor]  # (model, inputs) -> (B, K)
Pass = Callable[..., Any]
Moved = dict[str, Tensor]
PLAIN = {bool, int, float, str, type(None), tuple, list, set, dict, OrderedDict}
LOCK = RLock()  # a pass aside changes what all threads share


def _in_turn(function: Callable[Params, Result]) -> Callable[Params, Result]:
    @wraps(function)
    def locked(*args: Params.args, **options: Params.kwargs) -> Result:
        with LOCK:
            return function(*args, **options)

    return locked


# --- the direction: the validation gradient, and what the optimiser makes of it -------------------
@_in_turn
def validation_gradient(
    model: nn.Module, loss: Tensor | Callable[[], Tensor], names: Collection[str] | None = None,
) -> dict[str, Tensor]:  # fmt: skip
    """g = grad_theta of the validation loss, for the trainable parameters or those of `names`.

    loss: a scalar (), or a function that computes it. Averaged over the ranks of a process group;
    there, take the loss of the module inside DDP.
    """
    named = {n: p for n, p in _named(model).items() if p.requires_grad}
    named = {n: p for n, p in named.items() if names is None or n in names}

    def gradient() -> tuple[Tensor, ...]:
        value = loss() if callable(loss) else loss
        graph = _graph(value) if isinstance(value, Tensor) and value.shape == () else set()
        ok = graph & {*named.values()} and "CheckpointFunctionBackward" not in graph
        expected = f"a finite scalar, made from {[*named][:3]}, with use_reentrant=False,"
        _require(ok and value.isfinite(), "loss", expected, value)
        try:
            return torch.autograd.grad(value, [*named.values()], materialize_grads=True)
        except RuntimeError as error:  # its graph is gone
            raise ValueError(f"loss: val=(x, y) or a pass apart expected, got {error}") from error

    g, _ = _aside(model, gradient, exact=False)
    return {n: _over_ranks(part, mean=True) for n, part in zip(named, g, strict=True)}


def optimizer_direction(
    model: nn.Module, direction: dict[str, Tensor], optimizer: torch.optim.Optimizer,
) -> dict[str, Tensor]:  # fmt: skip
    """P g: the optimiser's next step (up to sign) on the gradient g, without momentum or decay.

    The step after a gradient h is -P h plus what the state alone causes: the validation loss falls
    by <P g, grad L_aug>. P is lr (1 - dampening) for SGD with momentum m, lr (1 + m) with
    Nesterov's; for the t-th step of Adam and AdamW, with g in place of h, which is not known yet,
    lr (1 - b1) / (1 - b1^t) / (sqrt((b2 v + (1 - b2) g^2) / (1 - b2^t)) + eps).
    """
    known = isinstance(optimizer, torch.optim.SGD | torch.optim.Adam | torch.optim.AdamW)
    _require(known, "optimizer", "SGD, Adam or AdamW", type(optimizer).__name__)
    names = {p: n for n, p in _named(model).items() if n in direction}
    groups = {p: group for group in optimizer.param_groups for p in group["params"] if p in names}
    _require(groups or not names, "optimizer", "one that moves these parameters", [*direction][:4])
    moved = {n: torch.zeros_like(g) for n, g in direction.items()}
    for p, group in groups.items():
        g, state, scale = direction[names[p]], optimizer.state.get(p, {}), group["lr"]
        if "betas" in group:
            (b1, b2), t = group["betas"], float(state.get("step", 0)) + 1
            v = b2 * state.get("exp_avg_sq", 0) + (1 - b2) * g.square()
            v = torch.maximum(v, state.get("max_exp_avg_sq", v))
            scale = scale * (1 - b1) / (1 - b1**t) / ((v / (1 - b2**t)).sqrt() + group["eps"])
        elif group.get("nesterov"):
            scale = scale * (1 + group["momentum"])
        elif state.get("momentum_buffer") is not None:
            scale = scale * (1 - group["dampening"])
        moved[names[p]] = scale * g
    return moved


@_in_turn
def newton_direction(
    model: nn.Module, x: Any, y: Tensor, ridge: float = 0.01, forward: Forward | None = None,
) -> dict[str, Tensor]:  # fmt: skip
    """H^-1 g of the last nn.Linear, z = W f + b, on validation data: its Newton step (up to sign).

    With its inputs F (n, d), a one appended for b, and P = softmax(z) (n, K): g = F'(P - Y) / n,
    H = A + ridge tr(A) / d I and A = F'F / 4n, the curvature 1/4 of every logit. y: as in `solve`.
    """
    _check(ridge=ridge)
    names = {*scope_names(model, "head")}
    named = {p: n for n, p in _named(model).items() if n in names}
    head, seen = [m for m in _bare(model).modules() if isinstance(m, nn.Linear)][-1], []
    _require(head.weight in named, "model", "a last nn.Linear with a weight to train", head)

    def run() -> tuple[Tensor, Tensor]:
        with head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0])):
            z = _logits(model, x, forward)
        return z, _full(F.linear(seen[-1], head.weight, head.bias)) if seen else z[:0]

    (z, of_head), _ = _aside(model, run)
    z = z.detach()
    ok = z.shape == of_head.shape and torch.allclose(z, of_head, rtol=1e-3, atol=1e-3)
    _require(ok, "model", f"logits {tuple(z.shape)} of its last nn.Linear", of_head.shape)
    f = _full(seen[-1])
    f = torch.cat([f, torch.ones_like(f[:, :1])], 1) if head.bias in named else f
    residuals = z.softmax(1) - as_soft_labels(y, *z.shape).to(z)
    a, g = (_over_ranks(f.T @ t / len(f), mean=True).double() for t in (f / 4, residuals))
    damped = a + (ridge * a.trace() / len(a)).clamp_min(TINY) * torch.eye(len(a)).to(a)
    step = torch.linalg.solve(damped, g).to(z).T
    parts = {head.weight: step[:, : head.in_features], head.bias: step[:, -1]}
    return {named[p]: part for p, part in parts.items() if p in named}


# --- the tangent: how the logits z move with theta + e d ------------------------------------------
@_in_turn
@torch.no_grad()
def _tangents(
    model: nn.Module, inputs: Any, directions: list[dict[str, Tensor]], how: str,
    forward: Forward | None, epsilon: float | None = None, logits: Tensor | None = None,
) -> tuple[Tensor, list[Tensor]]:  # fmt: skip
    """z (B, K) at theta, and dz/de (B, K) at e = 0 along each direction d."""
    named, tangents = _named(model), []
    z: Any = None
    lookahead = partial(_lookahead, epsilon)
    along: Any = {"jvp": _exact, "lookahead": lookahead, "head": _closed_form}[how]
    aside, run = partial(_aside, model), partial(_logits, model, inputs, forward)
    for d in directions:
        shapes = {n: t.shape for n, t in d.items()}
        known = d and shapes.items() <= {n: p.shape for n, p in named.items()}.items()
        finite = known and get_total_norm(d.values()).isfinite()
        _require(finite, "direction", "one or more finite tensors, shaped as parameters,", shapes)
        d = {n: t.to(named[n]) for n, t in d.items()}
        z, dz = along(aside, run, {n: named[n] for n in d}, d, logits, z)
        tangents.append(dz.detach())
    return z.detach(), tangents


def _exact(
    aside: Pass, run: Pass, theta: Moved, d: Moved, logits: Any = None, z: Any = None
) -> tuple[Tensor, Tensor]:
    """Forward mode: dual parameters theta + e d in, dual logits z + e dz out."""
    with dual_level(), sdpa_kernel(SDPBackend.MATH):
        try:
            dual = {n: make_dual(p.detach().clone(), d[n]) for n, p in theta.items()}
            z, dz = unpack_dual(aside(run, dual)[0])
        except NotImplementedError as error:
            raise ValueError(f"how: 'lookahead' expected, got 'jvp' where {error}") from error
    _require(dz is not None, "direction", "parameters that the outputs depend on", [*d])
    return z, dz


def _lookahead(
    epsilon: float | None, aside: Pass, run: Pass, theta: Moved, d: Moved, logits: Any, z: Any
) -> tuple[Tensor, Tensor]:
    """Plain passes: dz = (z(theta + e d) - z(theta)) / e; z is the training pass's if it can be."""
    if any(p.itemsize < 4 for p in theta.values()):
        return _exact(aside, run, theta, d)
    length, floor = get_total_norm(d.values()), 1e-3 * sum(t.numel() for t in d.values()) ** 0.5
    unit = get_total_norm(theta.values()).clamp_min(floor) / length.clamp_min(TINY)
    e = epsilon or torch.finfo(unit.dtype).eps ** 0.5 / 30 * unit
    moved = {n: p + e * d[n] for n, p in theta.items()}
    lost = get_total_norm([(moved[n] - p) / e - d[n] for n, p in theta.items()]) if epsilon else 0
    _require(2 * lost <= length, "epsilon", "more than the rounding of parameters", epsilon)
    after, same = aside(run, moved)
    if z is None:
        graph, rounded = _graph(logits), {"ToCopyBackward0", "CompiledFunctionBackward"}
        kernels = BACKENDS.mkldnn.matmul, BACKENDS.mkldnn.conv
        full = {k.fp32_precision for k in kernels} <= {"none", "ieee"}
        serves = same and full and graph & {*theta.values()} and not graph & rounded
        serves = serves and logits.is_cpu and logits.shape == after.shape
        serves = serves and aside(partial(_is_current, logits), exact=False)[0]
        serves = serves and (after - logits).norm() <= 1e-2 * logits.norm()
        z = logits.detach() if serves else aside(run)[0]
    dz = torch.where(after == z, 0, (after - z) / e)
    return (z, dz) if dz.any() or not length else _exact(aside, run, theta, d)


def _closed_form(
    aside: Pass, run: Pass, theta: Moved, d: Moved, logits: Any, z: Any
) -> tuple[Tensor, Tensor]:
    """dz = dW x + db, if z = W x + b by its graph, with an x that W and b do not move."""
    node: Any = getattr(logits, "grad_fn", None)
    own = {*theta.values()}
    *db, dw = sorted(d.values(), key=Tensor.dim)
    shown = node is not None and node.name() == "AddmmBackward0"
    shown = shown and node._saved_alpha == node._saved_beta == 1
    shown = shown and [t.dim() for t in (*db, dw)] in ([2], [1, 2])
    b, x, w = (_graph(n) for n, _ in node.next_functions) if shown else (own, own, own)
    if own & x or "TBackward0" not in w or (b | w) - {"TBackward0", "ToCopyBackward0"} != own:
        return _exact(aside, run, theta, d)
    with torch.autocast(logits.device.type, enabled=False):
        f = _full(aside(lambda: node._saved_mat1, exact=False)[0])
        return _full(logits.detach()), F.linear(f, *(t.to(f) for t in (dw, *db)))


# --- the inner products ---------------------------------------------------------------------------
def inner_products(
    model: nn.Module, inputs: Any, direction: dict[str, Tensor], space: str = "log_probs",
    how: str = "jvp", forward: Forward | None = None, epsilon: float | None = None,
) -> Tensor:  # fmt: skip
    """Pi (B, K): Pi[i, k] = -d/de space_k(model(inputs[i]; theta + e direction)) at e = 0, Eq. (9).

    direction: parameter name -> tensor of its shape; parameters left out do not move.
    space: with z the logits and p = softmax(z), "logits" is Pi_z = -dz/de, "log_probs" (derived)
        Pi_z - p . Pi_z, so sum_k p_k Pi_k = 0, "probs" p times the latter, so sum_k Pi_k = 0.
    how: "jvp" is exact (forward mode), "lookahead" the difference of plain passes, by default with
        |e d| = 1.2e-5 |theta| in float32: right to about 1e-2 (1e-1 in a fresh network with batch
        norm); "head" is "jvp", in closed form where W and b of the last layer alone move.
    forward: (model, inputs) -> (B, K) logits, where model(inputs) is something else. epsilon: e.
    Value and derivative share dropout's mask. Autocast, TF32 and compilation are off inside. What
    forward detaches still moves with "lookahead", and what it computes under no_grad with both.
    """
    _check(space=space, how=how, epsilon=epsilon)
    z, (tangent,) = _tangents(model, inputs, [direction], how, forward, epsilon)
    return _in_space(-tangent, z, space)


def _in_space(pi: Tensor, z: Tensor, space: str) -> Tensor:
    """Pi of the logits turned into Pi of `space`: (B, K) -> (B, K)."""
    p = z.softmax(1)
    for _ in range(0 if space == "logits" else 2):  # twice: a large common mode leaves rounding
        pi = pi - (p * pi).sum(1, keepdim=True)
    return p * pi if space == "probs" else pi


# --- the solution: Theorem 1 with the two modifications that follow it ----------------------------
def solve(
    pi: Tensor, labels: Tensor, beta: float = 0.0, temperature: float = 0.01, gumbel: float = 1.0,
    weight_rule: str = "label", generator: Generator | None = None, *, slope: float = 2.0,
    keep_labels: bool = False,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Weights (B,) and labels (B, K) of augmented samples from their inner products (Algorithm 1).

    y_i = softmax((Pi_i + beta y_aug_i + gumbel G) / temperature), G ~ Gumbel(0, 1) i.i.d.: as
    gumbel and temperature go to 0, Theorem 1's OneHot(argmax_k); or y_aug_i, if keep_labels. Then
    w_i, before they are divided by their sum over the batch (of all ranks), is by `weight_rule`
        "label"     1 if Pi_i . y_i >= 0 else 0                    (Algorithm 1)
        "sum"       1 if sum_k Pi_ik >= 0, up to rounding, else 0  (Theorem 1)
        "gate"      sigmoid(slope Pi_i . y_aug_i)                  (soft)
        "positive"  max(0, Pi_i . y_aug_i)                         (Ren et al. 2018, Eq. 12)
        "all"       1.
    labels y_aug: (B,) int64 in [0, K), or (B, K) rows on the simplex. generator: for the noise; by
    default this module's own, seeded with torch.initial_seed(). All w_i are 0 if none is kept.
    """
    _check(weight_rule=weight_rule, beta=beta, temperature=temperature, gumbel=gumbel, slope=slope)
    finite = pi.dim() == 2 and pi.numel() and pi.isfinite().all()
    _require(finite, "pi", "finite (B, K) with B, K >= 1", pi)
    pi = _full(pi)
    y_aug = y = as_soft_labels(labels, *pi.shape).to(pi)
    if not keep_labels:
        y = pi + beta * y_aug
        if gumbel:
            key = pi.device, torch.initial_seed()
            generator = generator or GENERATORS.setdefault(key, _generator(pi.device))
            noise = torch.empty_like(pi).exponential_(generator=generator)
            y = y - gumbel * noise.clamp_min(TINY).log()
        y = y.nan_to_num()  # infinite where finite numbers overflow
        y = ((y - y.amax(1, keepdim=True)) / temperature).softmax(1)
    score = (pi * y_aug).sum(1)
    weights = {
        "label": (pi * y).sum(1) >= 0,
        "sum": pi.sum(1) >= -pi.shape[1] * torch.finfo(pi.dtype).eps * pi.abs().sum(1),
        "gate": torch.sigmoid(slope * score),
        "positive": score.clamp_min(0),
        "all": torch.ones_like(score),
    }[weight_rule].to(pi)
    return _normalised(weights), y


def as_soft_labels(labels: Tensor, batch: int, classes: int) -> Tensor:
    """Labels (B,) int64 in [0, K) or (B, K) rows on the simplex, as float rows (B, K)."""
    ok: Any = isinstance(labels, Tensor) and labels.shape in ((batch,), (batch, classes))
    if ok and labels.dtype == torch.int64 and labels.dim() == 1:
        ok = ((labels >= 0) & (labels < classes)).all()
    elif ok := ok and labels.dim() == 2 and labels.is_floating_point():
        rounding = (_full(labels).sum(1) - 1).abs() / max(1e-3, 2 * torch.finfo(labels.dtype).eps)
        ok = ((labels >= 0).all(1) & (rounding <= 1)).all()
    expected = f"({batch},) int64 in [0, {classes}) or ({batch}, {classes}) rows on the simplex"
    _require(ok, "labels", expected, labels)
    return labels if labels.dim() == 2 else F.one_hot(labels, classes).float()


# --- the loss -------------------------------------------------------------------------------------
def soft_cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """sum_i w_i (-(y_i . log_softmax(z_i))), Eq. (7): (B, K), (B, K) or (B,) int64, (B,) -> ().

    DistributedDataParallel averages gradients over ranks: multiply by their number there.
    """
    fit = logits.dim() == 2 and logits.numel() and weights.shape == logits.shape[:1]
    _require(fit, "logits, weights", "(B, K), (B,) with B, K >= 1", (logits.shape, weights.shape))
    labels, log_p = as_soft_labels(labels, *logits.shape), _full(logits).log_softmax(1)
    log_p = log_p.masked_fill((labels == 0) & log_p.isneginf(), 0)  # 0 log 0 = 0
    return -(weights * (labels * log_p).sum(1)).sum()


def contrastive_logits(
    a: Tensor, b: Tensor, scale: float | Tensor, gather: Callable[[Tensor], Tensor] | None = None
) -> Tensor:
    """Logits (2b, B) of both directions of the contrastive loss, Eq. (13): B proxy classes each.

    a, b: (b, d) embeddings of pairs, L2-normalised here; B = b, or with gather: (b, d) of this rank
    -> (B, d) of all, those of every rank. The first b rows, Eq. (12), pick the partner of each a
    among the b, the last that of each b among the a. With a `forward` that returns them, SAFLEX
    measures Pi of Eq. (14). scale: positive, or a tensor of it.
    """
    fit = a.dim() == 2 and a.shape == b.shape
    _require(fit, "a, b", "two of one shape (B, d)", (a.shape, b.shape))
    scale = torch.as_tensor(scale, device=a.device)
    _require(scale.isfinite().all() and (scale > 0).all(), "scale", "finite and positive", scale)
    a, b = (F.normalize(_full(t), dim=1) for t in (a, b))
    every_a, every_b = (a, b) if gather is None else (gather(a), gather(b))
    return torch.cat([scale * a @ every_b.T, scale * b @ every_a.T])


# --- the refiner: all of it, for a training loop --------------------------------------------------
@dataclass(frozen=True)
class Refined:
    weights: Tensor  # (B,), of sum 1 over the batch of all ranks
    labels: Tensor  # (B, K)
    inner_products: Tensor  # (B, K), what they were solved from
    reliability: Tensor  # (), of the validation gradient; 1 unless `shrink`


@dataclass(eq=False)
class SAFLEX:
    """refined = SAFLEX(model, ...)(x_aug, y_aug, val=(x, y)), once per training step.

    The defaults are Algorithm 1 on log-probabilities with the sign of the derivation, and the
    options those of `inner_products` and `solve`.
    scope: whose step is looked at, "all", "head" (the last nn.Linear, in closed form) or prefixes
    of parameters' names. optimizer: look at its own step, `optimizer_direction`. sign: -1 takes
    Eq. (9) as printed. reduction: of the loss of `val`; Eq. (5) is written with "sum", which makes
    Pi larger by its size. centre: subtract from Pi_z its mean over the batch, the common mode of
    the gradient. normalise: divide Pi_ik by |e_k - p_i| (at least 1e-3), the size of the logits'
    gradient for label k. unit_scale: divide Pi by its root mean square over the batch. shrink:
    multiply Pi, the mean over two halves of the validation batch, by the correlation (at least 0)
    over i of their scores Pi_i . y_aug_i. In a process group batches are those of all ranks.
    """

    model: nn.Module
    _: KW_ONLY
    beta: float = 0.0
    temperature: float = 0.01
    gumbel: float = 1.0
    weight_rule: str = "label"
    slope: float = 2.0
    keep_labels: bool = False
    space: str = "log_probs"
    how: str = "jvp"
    scope: str | Sequence[str] = "all"
    forward: Forward | None = None
    epsilon: float | None = None
    optimizer: torch.optim.Optimizer | None = None
    sign: int = 1
    reduction: str = "mean"
    centre: bool = False
    normalise: bool = False
    unit_scale: bool = False
    shrink: bool = False
    generator: Generator | None = None

    def __post_init__(self) -> None:
        _check(**vars(self))
        self.scope = self.scope if isinstance(self.scope, str) else [*self.scope]
        scope_names(self.model, self.scope)
        self.generator = self.generator or _generator(next(self.model.parameters()).device)

    @property
    def names(self) -> list[str]:
        """Of the parameters in scope, those that are trained now."""
        return scope_names(self.model, self.scope)

    @classmethod
    def calibrated(
        cls, model: nn.Module, optimizer: torch.optim.Optimizer | None, **overrides: Any
    ) -> Self:
        """The reading `calibrated`, by look-ahead."""
        calibrated = dict.fromkeys(("centre", "normalise", "unit_scale", "shrink"), True)
        options: dict[str, Any] = {"beta": 3.0, "temperature": 1.0, "gumbel": 0.0}
        options |= calibrated | {"weight_rule": "gate"}
        return cls(model, **{"how": "lookahead", "optimizer": optimizer} | options | overrides)

    def __call__(
        self, x_aug: Any, y_aug: Tensor, val_loss: Any = None, *,
        val: tuple[Any, Tensor] | None = None, logits: Tensor | None = None,
    ) -> Refined:  # fmt: skip
        """Refine one augmented batch: `solve` with what the same arguments give `measure`."""
        pi, reliability = self.measure(x_aug, y_aug, val_loss, val=val, logits=logits)
        return self.solve(pi, y_aug, reliability)

    def measure(
        self, x_aug: Any, y_aug: Tensor, val_loss: Any = None, *,
        val: tuple[Any, Tensor] | None = None, logits: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """Pi (B, K), calibrated, and the reliability () that it was shrunk by.

        val: validation inputs and labels; or, in its place, val_loss: their cross-entropy (), with
        `shrink` those of two halves, each of a pass of its own. logits: of the training pass over
        x_aug, with graph; saves a pass unless it would differ (dropout, autocast, compilation).
        """
        count, how = 1 + self.shrink, "head" if self.scope == "head" else self.how
        _require((val is None) != (val_loss is None), "val", "it or val_loss", "both or none")
        losses = [val_loss] if isinstance(val_loss, Tensor) or callable(val_loss) else val_loss
        if val is not None:
            _require(len(val) == 2, "val", "(inputs, labels)", f"{len(val)} things")
            losses = [partial(self._validation_loss, val, i, count) for i in range(count)]
        _require(len(losses) == count, "val_loss", f"{count} scalar loss(es)", len(losses))
        d = [validation_gradient(self.model, loss, self.names) for loss in losses]
        if self.optimizer is not None:
            d = [optimizer_direction(self.model, g, self.optimizer) for g in d]
        z, tangents = _tangents(self.model, x_aug, d, how, self.forward, self.epsilon, logits)
        p, parts = z.softmax(1), []
        for pi in (-self.sign * t for t in tangents):
            pi = _in_space(pi - _batch_mean(pi) if self.centre else pi, z, self.space)
            size = (1 - 2 * p + p.square().sum(1, keepdim=True)).clamp_min(1e-6).sqrt()
            parts.append(pi / size if self.normalise else pi)
        total: Any = sum(parts)
        pi = total / len(parts)
        reliability = pi.new_ones(())
        if self.unit_scale:
            pi = pi / _batch_mean(pi.square().mean(1)).sqrt().clamp_min(TINY)
        if self.shrink:
            labels = as_soft_labels(y_aug, *pi.shape)
            scores = torch.stack([(part * labels).sum(1) for part in parts], 1)
            scores = scores - _batch_mean(scores)
            size = _batch_mean(scores.abs()).frexp().exponent  # exact, and no square under- or
            scores = scores.ldexp(-size)  # overflows
            spread = _batch_mean(scores.square()).prod().sqrt().clamp_min(TINY)
            reliability = (_batch_mean(scores.prod(1)) / spread).clamp_min(0)
        return reliability * pi, reliability

    def solve(self, pi: Tensor, y_aug: Tensor, reliability: Tensor) -> Refined:
        """Weights and labels of inner products pi (B, K), by this object's options."""
        options = self.beta, self.temperature, self.gumbel, self.weight_rule, self.generator
        given: dict[str, Any] = {"slope": self.slope, "keep_labels": self.keep_labels}
        return Refined(*solve(pi, y_aug, *options, **given), pi, reliability)

    def _validation_loss(self, val: Sequence[Any], i: int, count: int) -> Tensor:
        """Cross-entropy on the i-th of `count` parts of the validation batch."""

        def part(t: Tensor) -> Tensor:
            return t.tensor_split(count)[i] if t.dim() and len(t) == len(val[1]) else t

        x, y = tree_map_only(Tensor, part, tuple(val))
        z = _logits(self.model, x, self.forward)
        as_soft_labels(y, *z.shape)
        ranks = _over_ranks(z.new_ones(())) if self.reduction == "sum" else 1
        loss: Tensor = ranks * F.cross_entropy(z, y, reduction=self.reduction)
        return loss


@dataclass(frozen=True)
class Believed(Refined):
    wrong: Tensor  # (), the estimated share of wrong labels


@dataclass(eq=False)
class Posterior:
    """refined = Posterior(model)(x_aug, y_aug, val=(x, y)): weights by belief after a Newton step.

    `SAFLEX` takes the derivative of log p along the validation gradient, this takes p itself, after
    the step of `newton_direction`. If a share e of the labels is wrong, any other class alike, that
    of sample i is right with probability

        q_i = (1 - e) s_i / ((1 - e) s_i + e (1 - s_i) / (K - 1)),    s_i = exp(-KL(y_i || p_i)),

    which is p_i[y_i] for a class y_i, and w_i = q_i / sum_j q_j. e is the most likely one for the
    batch, of 0, 0.01, ..., 0.99. Labels are kept. In a process group batches are those of all
    ranks.
    """

    model: nn.Module
    _: KW_ONLY
    ridge: float = 0.01
    forward: Forward | None = None

    def __post_init__(self) -> None:
        _check(ridge=self.ridge)
        scope_names(self.model, "head")

    def __call__(
        self, x_aug: Any, y_aug: Tensor, *, val: tuple[Any, Tensor], logits: Tensor | None = None
    ) -> Believed:
        """Refine one augmented batch; val: validation inputs and labels; logits as in SAFLEX."""
        return self.solve(self.measure(x_aug, val=val, logits=logits), y_aug)

    def measure(
        self, x_aug: Any, *, val: tuple[Any, Tensor], logits: Tensor | None = None
    ) -> Tensor:
        """log p (B, K) after the step."""
        _require(len(val) == 2, "val", "(inputs, labels)", f"{len(val)} things")
        d = newton_direction(self.model, *val, self.ridge, self.forward)
        z, (dz,) = _tangents(self.model, x_aug, [d], "head", self.forward, logits=logits)
        return (z - dz).log_softmax(1)

    def solve(self, log_p: Tensor, y_aug: Tensor, reliability: Any = None) -> Believed:
        """Weights of labels y_aug, as in `solve`, that are believed with log p (B, K)."""
        ok = log_p.dim() == 2 and (log_p.logsumexp(1).abs() < 1e-3).all()
        _require(ok, "log_p", "log-probabilities (B, K)", log_p)
        y, (_, K) = as_soft_labels(y_aug, *log_p.shape).to(log_p), log_p.shape
        s = (torch.special.entr(y) + y * log_p.clamp_min(-1e30)).sum(1).exp().clamp_max(1)
        e = torch.arange(100).to(s)[:, None] / 100
        right, wrong = (1 - e) * s, e * (1 - s) / max(K - 1, 1)
        likelihood = _over_ranks((right + wrong).clamp_min(TINY).log().sum(1))
        best = likelihood.argmax()
        q = right[best] / (right[best] + wrong[best]).clamp_min(TINY)
        return Believed(_normalised(q), y, log_p, log_p.new_ones(()), e[best, 0])


def scope_names(model: nn.Module, scope: str | Sequence[str]) -> list[str]:
    """Names of the trainable parameters in a scope: "all", "head" or prefixes, as in SAFLEX."""
    named = {n: p for n, p in _named(model).items() if p.requires_grad}
    if scope == "head":
        linears = [{*m.parameters()} for m in _bare(model).modules() if isinstance(m, nn.Linear)]
        found = [[n for n, p in named.items() if p in own] for own in linears[-1:]]
    else:
        stems = [scope] if isinstance(scope, str) else scope
        found = [[n for n in named if s == "all" or f"{n}.".startswith(f"{s}.")] for s in stems]
    expected = f"all, head (an nn.Linear) or names of trainable parameters, as {[*named][:4]},"
    _require(found and all(found), "scope", expected, f"{scope!r} in {type(model).__name__}")
    return [n for n in named if any(n in group for group in found)]


# --- models as they come: state, precision, compilation, ranks; messages --------------------------
def _aside(
    model: nn.Module, function: Callable[[], Any], theta: dict[str, Tensor] | None = None,
    exact: bool = True,
) -> tuple[Any, bool]:  # fmt: skip
    """function() at theta, eagerly; and whether it left no trace but in norms' averages.

    exact: in full precision, without a graph. What it does to the model is undone.
    """
    _require(not torch.is_inference_mode_enabled(), "model", "no inference mode", "it is on")
    bare, host, theta = _bare(model), nn.Module(), theta or {}
    host.model, host.forward = bare, function  # functional_call wants a module of the tensors
    named, walked = _named(model), [*bare.named_modules()]
    modules = [m for _, m in walked]
    norms = tuple(f"model.{n}." for n, m in walked if isinstance(m, _NormBase))
    held: list[Any] = [vars(m).get(n) for m in modules for n in ("_parameters", "_buffers")]
    held = [(own, own.copy()) for own in (*map(vars, modules), *held) if isinstance(own, dict)]
    generators = [v for _, old in held for v in _of_kind(old, Generator).values()]
    generators += [torch.default_generator, *torch.cuda.default_generators]
    drawn: list[Any] = [(g.get_state, g.set_state, torch.equal) for g in generators]
    drawn += [(random.getstate, random.setstate, operator.eq)]
    if numpy := sys.modules.get("numpy"):
        equal = lambda a, b: all(map(numpy.array_equal, a, b))  # noqa: E731
        drawn += [(numpy.random.get_state, numpy.random.set_state, equal)]
    drawn = [(*kind, kind[0]()) for kind in drawn]
    with ExitStack() as stack:
        for _, put, _, state in drawn:
            stack.callback(put, state)
        stack.callback(_restore, held)
        stack.enter_context(torch.compiler.set_stance("force_eager"))
        stack.enter_context(torch.enable_grad())
        buffers = {f"model.{n}": b.clone() for n, b in bare.named_buffers()}
        others = {n: p.detach() if exact else p for n, p in named.items() if n not in theta}
        copied = {n: p.clone() for n, p in others.items()} | theta
        tensors = buffers | {f"model.{n}": t for n, t in copied.items()}
        for m in modules:
            own = vars(m)
            own.update({k: v.clone() for k, v in _of_kind(own, Tensor).items()})
        copies = [(vars(m), vars(m).copy()) for m in modules]
        copies += [(tensors, {k: v for k, v in buffers.items() if not k.startswith(norms)})]
        stack.enter_context(patch.object(parametrize, "_cache", {}))
        torch.clear_autocast_cache()
        plainly = staticmethod(lambda run, _, *args: run(*args))  # it hides parameters
        stack.enter_context(patch.object(CheckpointFunction, "apply", plainly))
        if exact:
            stack.enter_context(torch.autocast(next(bare.parameters()).device.type, enabled=False))
            for step in ("__enter__", "__exit__"):  # of the model's own
                stack.enter_context(patch.object(torch.autocast, step, lambda *_: None))
            cudnn, cuda, mkldnn = BACKENDS.cudnn, BACKENDS.cuda, BACKENDS.mkldnn
            for kernels in (cudnn.conv, cudnn.rnn, cuda.matmul, mkldnn.conv, mkldnn.matmul):
                own = kernels.fp32_precision
                own = "none" if own == BACKENDS.fp32_precision else own  # as inherited
                stack.callback(setattr, kernels, "fp32_precision", own)
                kernels.fp32_precision = "ieee"
            stack.callback(torch.set_float32_matmul_precision, torch.get_float32_matmul_precision())
            torch.set_float32_matmul_precision("highest")
            stack.callback(mha.set_fastpath_enabled, mha.get_fastpath_enabled())
            mha.set_fastpath_enabled(False)
        result = torch.func.functional_call(host, tensors, ())
        found = result if isinstance(result, tuple) else (result,)
        hidden = exact and set().union(*map(_graph, found)) & {*named.values()}
        kept = f"one from elsewhere, {next(iter(hidden)).shape}" if hidden else ""
        _require(not hidden, "model", "parameters that are read from its modules", kept)
        same = all(equal(get(), state) for get, _, equal, state in drawn)
        for own, copy in copies:
            same = same and all(map(operator.is_, map(own.get, copy), copy.values()))
            same = same and not any(getattr(v, "_version", 0) for v in _of_kind(copy).values())
        return result, same


def _of_kind(values: dict[str, Any], kind: type = object) -> dict[str, Any]:
    """Those of a kind that is not PLAIN; where all are, none is looked at."""
    if {*map(type, values.values())} <= PLAIN:
        return {}
    return {k: v for k, v in values.items() if isinstance(v, kind) and type(v) not in PLAIN}


def _restore(held: list[tuple[dict[str, Any], dict[str, Any]]]) -> None:
    for own, old in reversed(held):
        own.clear()
        own.update(old)


def _logits(model: nn.Module, inputs: Any, forward: Forward | None) -> Tensor:
    bare = _bare(model)
    inputs = tree_map_only(Tensor, Tensor.clone, inputs)  # a model may write into them
    if isinstance(inputs, Tensor) and inputs.is_floating_point():
        inputs = inputs.to(next(bare.parameters()).dtype)
    z = forward(bare, inputs) if forward else bare(inputs)
    ok, expected = isinstance(z, Tensor) and z.dim() == 2 and z.numel(), "(B, K) logits, B, K >= 1,"
    _require(ok, "inputs, forward", expected, getattr(z, "shape", type(z)))
    return _full(z)


def _graph(z: Any) -> set[Any]:
    """The leaves in the graph of a tensor, or of a node, and the names of its other nodes."""
    seen, todo = set(), [getattr(z, "grad_fn", None) if isinstance(z, Tensor) else z]
    while todo:
        if (node := todo.pop()) is not None and node not in seen:
            seen.add(node)
            todo += [n for n, _ in node.next_functions]
    return {n.variable if hasattr(n, "variable") else n.name() for n in seen}


def _named(model: nn.Module) -> dict[str, Tensor]:
    named: dict[str, Tensor] = dict(_bare(model).named_parameters())
    lazy = [n for n, p in named.items() if is_lazy(p)]
    _require(not lazy, "model", "parameters, which a first pass makes,", lazy[:4])
    return named


def _is_current(z: Tensor) -> bool:
    """Whether what the last operation of a graph has saved was not written since."""
    with suppress(RuntimeError):
        for name in dir(z.grad_fn):
            getattr(z.grad_fn, name)
        return True
    return False


def _bare(model: Any) -> Any:
    """The module inside DistributedDataParallel's, DataParallel's and torch.compile's wrappers."""
    parallel = nn.parallel.DistributedDataParallel, nn.DataParallel
    while hasattr(model, "_orig_mod") or isinstance(model, parallel):
        model = model._orig_mod if hasattr(model, "_orig_mod") else model.module
    return model


def _full(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


def _over_ranks(x: Tensor, mean: bool = False) -> Tensor:
    """Sum or mean over the ranks of a process group."""
    if not (dist.is_available() and dist.is_initialized()):
        return x
    dist.all_reduce(x := x.clone())
    return x / dist.get_world_size() if mean else x


def _normalised(weights: Tensor) -> Tensor:
    total = _over_ranks(weights.sum())
    return weights / torch.where(total > 0, total, 1)


def _batch_mean(x: Tensor) -> Tensor:
    """Mean over the batch of all ranks: (B, ...) -> (...)."""
    return _over_ranks(x.sum(0)) / _over_ranks(x.new_tensor(float(len(x))))


def _generator(device: torch.device) -> Generator:
    rank = dist.get_rank() if dist.is_available() and dist.is_initialized() else 0
    return Generator(device).manual_seed((torch.initial_seed() + rank) % 2**63)


def _check(**options: Any) -> None:
    for name, got in options.items():
        if name in CHOICES:
            _require(got in CHOICES[name], name, f"one of {CHOICES[name]}", repr(got))
        elif name in LEAST and (name, got) != ("epsilon", None):
            ok = isinstance(got, int | float) and LEAST[name] <= got <= 1e30
            _require(ok, name, f"a number from {LEAST[name]} to 1e30", repr(got))


def _require(ok: Any, name: str, expected: str, got: Any) -> None:
    if not ok and isinstance(got, Tensor):
        got = f"{tuple(got.shape)} {got.dtype}: {got.flatten()[:9].tolist()}"
    if not ok:
        raise ValueError(f"{name}: {expected} expected, got {got}")
