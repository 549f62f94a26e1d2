"""SAFLEX: weights and soft labels for augmented samples, from validation gradients (2410.02512).

Augmented samples x_i get the weights w_i and soft labels y_i that lower the validation loss most,
to first order in a, after a step theta - a grad L_aug on L_aug = sum_i w_i sum_k y_ik (-log p_ik).
With the validation gradient g it falls by a <g, grad L_aug> = a sum_i w_i (y_i . Pi_i), where

    Pi_ik = <g, grad(-log p_ik)> = -(d/de) log p_k(x_i; theta + e g) at e = 0    (Eq. 9, sign right)

is a directional derivative of the outputs, and the best w and y solve a linear programme, sample by
sample. The sections follow the derivation; B is the batch, K the number of classes. Bad input gets
a ValueError. Calls leave parameters, .grad, buffers, modes, the random states of torch and Python
and modules' attributes, also tensors and generators, as they were; lists, dicts and other objects
in attributes, writes into a parameter's .data and NumPy's random state are not seen.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache, partial
from numbers import Real
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Generator, Tensor, autograd, nn
from torch.autograd.forward_ad import dual_level, make_dual, unpack_dual
from torch.backends import cuda, cudnn, mha, mkldnn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.utils import get_total_norm
from torch.utils.checkpoint import CheckpointFunction

Direction = dict[str, Tensor]
Forward = Callable[[nn.Module, Any], Tensor]
SPACES = ("log_probs", "probs", "logits")
HOWS = ("jvp", "lookahead", "head")
WEIGHT_RULES = ("label", "sum", "gate", "positive", "all")
CHOICES = {"space": SPACES, "how": HOWS, "weight_rule": WEIGHT_RULES, "sign": (1, -1)}
NORMS = ("torch.nn.modules.batchnorm", "torch.nn.modules.instancenorm")
TINY, HUGE, KEY = 1e-30, 1e30, "fp32_precision"

# what passes of our own change: how to get it, how to set it, and its value meanwhile
FLOAT32 = (cudnn.conv, cudnn.rnn, cuda.matmul, mkldnn.conv, mkldnn.matmul)
PRECISE = [(partial(getattr, k, KEY), partial(setattr, k, KEY), "ieee") for k in FLOAT32] + [
    (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "highest"),
    (mha.get_fastpath_enabled, mha.set_fastpath_enabled, False),
]
AUTOCAST_CACHE = (torch.is_autocast_cache_enabled, torch.set_autocast_cache_enabled, False)
RECOMPUTED = [getattr, setattr, lambda run, preserve, *args: run(*args)]  # re-entrant checkpoints
EAGER = [(*(partial(f, CheckpointFunction, "apply") for f in RECOMPUTED[:2]), RECOMPUTED[2])]


# --- the direction: the validation gradient, and what the optimiser makes of it -------------------
def validation_gradient(
    model: nn.Module, loss: Tensor, names: Sequence[str] | None = None, retain_graph: bool = False
) -> Direction:
    """g = grad_theta of the validation loss (), for the trainable parameters or those of `names`.

    Averaged over the ranks of a process group; there, take the loss of the module inside DDP.
    """
    shape = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
    _require(shape == (), "loss", "a scalar of shape ()", shape)
    _require(loss.isfinite(), "loss", "a finite scalar", float(loss.detach()))
    named = {n: p for n, p in _bare(model).named_parameters() if p.requires_grad}
    named = {n: p for n, p in named.items() if names is None or n in names}
    graph, wanted = _graph(loss), f"a function of trainable parameters, as {[*named][:3]},"
    hidden = "CheckpointFunctionBackward" in graph  # parameters that the graph does not show
    _require(not hidden, "loss", "val=(x, y), or use_reentrant=False in checkpoints,", "a loss")
    _require(graph & {id(p) for p in named.values()}, "loss", wanted, "a constant, or another's")
    pull = partial(autograd.grad, loss, [*named.values()], materialize_grads=True)
    try:
        g, _ = _aside(model, partial(pull, retain_graph=retain_graph), ours=False)
    except RuntimeError as error:
        if "donated buffers" not in str(error):  # a compiled pass can be differentiated once
            _require("second time" not in str(error), "loss", "val=(x, y), or passes apart,", error)
            raise
        g, _ = _aside(model, pull, ours=False)
    return {n: _over_ranks(part, mean=True) for n, part in zip(named, g, strict=True)}


def optimizer_direction(
    model: nn.Module, direction: Direction, optimizer: torch.optim.Optimizer
) -> Direction:
    """P g: the optimiser's next step (up to sign) on the gradient g, without momentum or decay.

    The step after a gradient h is -P h plus what the state alone causes, so the validation loss
    falls by <g, P grad L_aug> = <P g, grad L_aug>. P is lr (1 - dampening) for SGD with momentum m
    (lr (1 + m) with Nesterov's), and for the t-th step of Adam and AdamW lr (1 - b1) / (1 - b1^t) /
    (sqrt((b2 v + (1 - b2) g^2) / (1 - b2^t)) + eps): h is not known yet, and g has its size.
    """
    ok = isinstance(optimizer, torch.optim.SGD | torch.optim.Adam | torch.optim.AdamW)
    _require(ok, "optimizer", "SGD, Adam or AdamW", type(optimizer).__name__)
    names = {p: n for n, p in _bare(model).named_parameters() if n in direction}
    groups = {p: group for group in optimizer.param_groups for p in group["params"] if p in names}
    moved = {n: torch.zeros_like(g) for n, g in direction.items()}
    for p, group in groups.items():
        g, state, scale = direction[names[p]], optimizer.state.get(p, {}), group["lr"]
        if "betas" in group:
            (b1, b2), t = group["betas"], float(state.get("step", 0)) + 1
            v = b2 * state.get("exp_avg_sq", 0) + (1 - b2) * g.square()
            v = torch.maximum(v, state.get("max_exp_avg_sq", v))
            root = (v / (1 - b2**t)).sqrt() + group["eps"]
            scale = scale * (1 - b1) / (1 - b1**t) / root
        elif group.get("nesterov"):
            scale = scale * (1 + group["momentum"])
        elif state.get("momentum_buffer") is not None:
            scale = scale * (1 - group["dampening"])
        moved[names[p]] = scale * g
    return moved


# --- the tangent: how the logits z move with theta + e d ------------------------------------------
def _tangents(model, inputs, directions, how, forward, epsilon, logits=None):
    """z (B, K) at theta, and dz/de (B, K) at e = 0 along each direction d."""
    named, moves = dict(_bare(model).named_parameters()), []
    for d in directions:
        for n, t in d.items():
            _require(n in named, "direction", "names of named_parameters()", n)
            shape = tuple(named[n].shape)
            _require(shape == t.shape, "direction", f"shape {shape} for {n}", tuple(t.shape))
        moves.append({n: t.detach().to(named[n]) for n, t in d.items()})
        finite = d and get_total_norm(moves[-1].values()).isfinite()
        _require(finite, "direction", "one or more finite tensors", f"{len(d)} tensors")
    plain = partial(_logits, model, inputs, forward)
    along = {"jvp": _exact, "lookahead": partial(_lookahead, epsilon), "head": _closed_form}[how]
    z, tangents = along(model, named, moves, plain, logits)
    for d, tangent in zip(moves, tangents, strict=True):
        still = tangent.any() or _is_stationary(model, named, d, plain)
        _require(still, "how", "a way, or a larger epsilon, by which outputs move", repr(how))
    return _full(z.detach()), tangents


def _exact(model, named, directions, plain, logits):
    """Forward mode: dual parameters theta + e d in, dual logits z + e dz out."""
    tangents = []
    for d in directions:
        try:
            with dual_level(), sdpa_kernel(SDPBackend.MATH):
                theta = {n: make_dual(named[n].detach(), t) for n, t in d.items()}
                (z, dz), _ = _aside(model, lambda: unpack_dual(plain()), theta)
        except NotImplementedError as error:
            raise ValueError(f"how: 'lookahead' expected, got 'jvp' where {error}") from error
        tangents.append(torch.zeros_like(z) if dz is None else dz)
    return z, tangents


def _lookahead(epsilon, model, named, directions, plain, logits):
    """Plain passes: dz = (z(theta + e d) - z(theta)) / e; z is the training pass's if it can be."""
    moved, given = [], logits is not None and _is_full(logits, named, directions)
    for d in directions:
        theta, length = {n: named[n].detach() for n in d}, get_total_norm(d.values())
        floor = 1e-3 * sum(t.numel() for t in d.values()) ** 0.5
        unit = get_total_norm(theta.values()).clamp_min(floor) / length.clamp_min(TINY)
        e = epsilon or torch.finfo(unit.dtype).eps ** 0.5 / 30 * unit
        after = {n: theta[n] + e * t for n, t in d.items()}
        if epsilon:
            lost = get_total_norm([(after[n] - theta[n]) / epsilon - d[n] for n in d])
            _require(2 * lost <= length, "epsilon", "more than parameters' rounding", epsilon)
        z, traces = _aside(model, plain, after)
        moved, given = [*moved, (z, e)], given and not traces and z.shape == logits.shape
    z = logits.detach() if given else _aside(model, plain)[0]
    return z, [(after - z) / e for after, e in moved]


def _closed_form(model, named, directions, plain, logits):
    """dz = dW x + db of the last linear layer, if the graph of its output z shows its input x."""
    prefix, head = _head(model)
    outside = sorted({n for d in directions for n in d if not n.startswith(prefix)})
    _require(not outside, "how", f"'head' with a direction in {prefix}*", outside)
    node, own, x = getattr(logits, "grad_fn", None), {*map(id, head.parameters())}, None
    if node is not None and node.name() == "AddmmBackward0":
        _, before, weight = (_graph(n) & own for n, _ in node.next_functions)
        x = node._saved_mat1 if weight == {id(head.weight)} and not before else None
    if x is None:
        return _exact(model, named, directions, plain, logits)
    x, tangents = _full(x.detach()), []
    with torch.autocast(x.device.type, enabled=False):
        for d in directions:
            moved = {f"{prefix}weight": torch.zeros_like(head.weight)} | d
            moved = {n.removeprefix(prefix): t.to(x) for n, t in moved.items()}
            tangents.append(F.linear(x, **moved))
    return logits, tangents


def _is_stationary(model, named, d, plain):
    """Whether reverse mode agrees that dz = 0: d . J^T v vanishes for an arbitrary v."""
    theta = {n: p for n, p in named.items() if p.requires_grad}

    def pull():
        with torch.enable_grad():
            z = plain()
            height = (torch.arange(1, z.numel() + 1).cos().view_as(z).to(z) * z).sum()
            height = height + 0 * sum(p.sum() for p in theta.values())
        return autograd.grad(height, [*theta.values()], materialize_grads=True) if theta else []

    g = dict(zip(theta, _aside(model, pull)[0], strict=True))
    products = [(g[n] * t).sum() for n, t in d.items() if n in g]
    size = get_total_norm(g.values()) * get_total_norm(d.values()) if g else 0
    return not products or sum(products).abs() <= 1e-5 * size


# --- the inner products ---------------------------------------------------------------------------
def inner_products(
    model: nn.Module, inputs: Any, direction: Direction, space: str = "log_probs", how: str = "jvp",
    forward: Forward | None = None, epsilon: float | None = None,
) -> Tensor:  # fmt: skip
    """Pi (B, K): Pi[i, k] = -d/de space_k(model(inputs[i]; theta + e direction)) at e = 0, Eq. (9).

    direction: parameter name -> tensor of its shape; parameters left out do not move.
    space: with z the logits and p = softmax(z), "logits" is Pi_z = -dz/de, "log_probs" (derived)
        Pi_z - p . Pi_z, so sum_k p_k Pi_k = 0, "probs" p times the latter, so sum_k Pi_k = 0.
    how: "jvp" is exact, by forward-mode differentiation (attention by its math backend);
        "lookahead" is (z(theta + e d) - z(theta)) / e from plain forward passes; "head" is exact,
        for a direction in the last nn.Linear alone.
    forward: (model, inputs) -> (B, K) logits, where model(inputs) is something else.
    epsilon: look-ahead's e > 0. By default |e d| = sqrt(machine epsilon) / 30 |theta|, in float32
        1.2e-5 |theta|: larger steps bend (batch norm), smaller ones drown in rounding; Pi is then
        right to about 1e-2, 1e-1 in a fresh network with batch norm in training mode. 1 after
        `optimizer_direction` is that optimiser's own finite step.
    Dropout draws one mask for value and derivative. Autocast around the model, TF32 and compilation
    are off inside; Pi is float32 (or float64).
    """
    _check(space=space, how=how, epsilon=epsilon)
    z, (tangent,) = _tangents(model, inputs, [direction], how, forward, epsilon)
    return _in_space(-tangent, z, space)


def _in_space(pi: Tensor, z: Tensor, space: str) -> Tensor:
    """Pi of the logits turned into Pi of `space`: (B, K) -> (B, K)."""
    if space == "logits":
        return pi
    p = z.softmax(1)
    for _ in range(2):  # the second round removes the rounding error of a large common mode
        pi = pi - (p * pi).sum(1, keepdim=True)
    return p * pi if space == "probs" else pi


# --- the solution: Theorem 1 with the two modifications that follow it ----------------------------
def solve(
    pi: Tensor, labels: Tensor, beta: float = 0.0, temperature: float = 0.01, gumbel: float = 1.0,
    weight_rule: str = "label", generator: torch.Generator | None = None, *, slope: float = 2.0,
    keep_labels: bool = False,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Weights (B,) and labels (B, K) of augmented samples from their inner products (Algorithm 1).

    y_i = softmax((Pi_i + beta y_aug_i + gumbel G) / temperature), G ~ Gumbel(0, 1) i.i.d.: as
    gumbel and temperature go to 0, Theorem 1's OneHot(argmax_k). Then w_i, before they are divided
    by their sum over the batch (of all ranks), is by `weight_rule`
        "label"     1 if Pi_i . y_i >= 0 else 0                    (Algorithm 1)
        "sum"       1 if sum_k Pi_ik >= 0, up to rounding, else 0  (Theorem 1)
        "gate"      sigmoid(slope Pi_i . y_aug_i)                  (soft)
        "positive"  max(0, Pi_i . y_aug_i)                         (Ren et al. 2018, Eq. 12)
        "all"       1.
    pi: (B, K), finite. labels: (B,) int64 in [0, K), or (B, K) rows on the simplex.
    temperature > 0, beta, gumbel, slope >= 0. keep_labels: return the upstream labels as y_i.
    generator: for the noise; default one of this module's own, seeded with torch.initial_seed() by
        the first call that finds it.
    Returns weights >= 0 that sum to 1, or are all 0 if no sample is kept, and rows on the simplex.
    """
    _check(weight_rule=weight_rule, beta=beta, temperature=temperature, gumbel=gumbel, slope=slope)
    shape = tuple(pi.shape)
    _require(len(shape) == 2 and 0 not in shape, "pi", "shape (B, K) with B, K >= 1", shape)
    _require(pi.isfinite().all(), "pi", "finite values", f"others in shape {shape}")
    pi = _full(pi)
    y_aug = y = as_soft_labels(labels, *shape).to(pi)
    if not keep_labels:
        y = pi + beta * y_aug
        if gumbel:
            generator = generator or _shared_generator(pi.device, torch.initial_seed())
            noise = torch.empty_like(pi).exponential_(generator=generator)
            y = y - gumbel * noise.clamp_min(TINY).log()
        y = y.nan_to_num()  # infinite where finite numbers overflow
        y = ((y - y.amax(1, keepdim=True)) / temperature).softmax(1)
    score = (pi * y_aug).sum(1)
    weights = {
        "label": (pi * y).sum(1) >= 0,
        "sum": pi.sum(1) >= -shape[1] * torch.finfo(pi.dtype).eps * pi.abs().sum(1),
        "gate": torch.sigmoid(slope * score),
        "positive": score.clamp_min(0),
        "all": torch.ones_like(score),
    }[weight_rule].to(pi)
    return weights / _over_ranks(weights.sum()).clamp_min(TINY), y


def as_soft_labels(labels: Tensor, batch: int, classes: int) -> Tensor:
    """Labels (B,) int64 in [0, K) or (B, K) rows on the simplex, as float rows (B, K)."""
    _require(isinstance(labels, Tensor), "labels", "a tensor", type(labels).__name__)
    got = f"{tuple(labels.shape)} {labels.dtype}"
    if labels.shape == (batch,) and labels.dtype == torch.int64:
        low, high = int(labels.min()), int(labels.max())
        ok = 0 <= low <= high < classes
        _require(ok, "labels", f"classes in [0, {classes})", f"[{low}, {high}] in {got}")
        return F.one_hot(labels, classes).float()
    ok = labels.shape == (batch, classes) and labels.is_floating_point()
    _require(ok, "labels", f"({batch},) int64 or ({batch}, {classes}) float", got)
    tolerance = max(1e-3, 2 * torch.finfo(labels.dtype).eps)
    on = (labels >= 0).all(1) & ((_full(labels).sum(1) - 1).abs() <= tolerance)
    _require(on.all(), "labels", "rows on the simplex", f"{labels[~on][:1].tolist()} in {got}")
    return labels


# --- the loss -------------------------------------------------------------------------------------
def soft_cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """sum_i w_i (-(y_i . log_softmax(z_i))), Eq. (7), with 0 log 0 = 0: (B, K), y, (B,) -> ().

    labels y: (B,) int64 in [0, K), or (B, K) rows on the simplex.
    """
    shape = tuple(logits.shape)
    _require(len(shape) == 2 and 0 not in shape, "logits", "shape (B, K) with B, K >= 1", shape)
    _require(weights.shape == shape[:1], "weights", f"shape {shape[:1]}", tuple(weights.shape))
    labels, log_p = as_soft_labels(labels, *shape), _full(logits).log_softmax(1)
    log_p = log_p.masked_fill((labels == 0) & log_p.isneginf(), 0)
    return -(weights * (labels * log_p).sum(1)).sum()


def contrastive_logits(a: Tensor, b: Tensor, scale: float | Tensor) -> Tensor:
    """Logits (2B, B) of both directions of the contrastive loss, Eq. (13): B proxy classes each.

    a, b: (B, d) embeddings of paired items, L2-normalised here. Rows 0..B-1, Eq. (12), pick the
    partner of each a among the b, rows B..2B-1 that of each b among the a. A `forward` that returns
    them makes SAFLEX learn the targets and weights of Eq. (14), with labels arange(B) twice.
    """
    shapes = f"{tuple(a.shape)}, {tuple(b.shape)}"
    _require(a.dim() == 2 and a.shape == b.shape, "a, b", "two of one shape (B, d)", shapes)
    similarity = scale * F.normalize(a, dim=1) @ F.normalize(b, dim=1).T
    return torch.cat([similarity, similarity.T])


# --- the refiner: all of it, for a training loop --------------------------------------------------
@dataclass(frozen=True)
class Refined:
    weights: Tensor  # (B,)
    labels: Tensor  # (B, K)
    inner_products: Tensor  # (B, K), what they were solved from
    reliability: Tensor  # (), of the validation gradient; 1 unless `shrink`


class SAFLEX:
    """refined = SAFLEX(model, ...)(x_aug, y_aug, val_loss), once per training step.

    The defaults are Algorithm 1 with the sign of the derivation. space, how, forward, epsilon: see
    `inner_products`; beta, temperature, gumbel, weight_rule, slope, keep_labels: see `solve`.
    scope: the parameters whose step is looked at, see `scope_names`; "head" is in closed form.
    optimizer: look at its own step, `optimizer_direction`, not at plain SGD's.
    sign: -1 takes Eq. (9) as printed, without the minus of the cross-entropy.
    centre: subtract from Pi_z its mean over the batch, the common mode of the gradient.
    normalise: divide Pi_ik by |e_k - p_i|, the size of the logits' gradient for label k.
    unit_scale: divide Pi by its root mean square over the batch.
    shrink: multiply Pi, the mean over two halves of the validation batch, by the correlation (at
        least 0) over i of their scores Pi_i . y_aug_i.
    generator: for the noise; default one of this object's own, seeded with torch.initial_seed().
    In a process group batches are one rank's shares; means and sums over them are over all ranks'.
    """

    def __init__(
        self, model: nn.Module, beta: float = 0.0, temperature: float = 0.01, gumbel: float = 1.0,
        weight_rule: str = "label", slope: float = 2.0, keep_labels: bool = False,
        space: str = "log_probs", how: str = "jvp", scope: str | Sequence[str] = "all",
        forward: Forward | None = None, epsilon: float | None = None,
        optimizer: torch.optim.Optimizer | None = None, sign: float = 1.0, centre: bool = False,
        normalise: bool = False, unit_scale: bool = False, shrink: bool = False,
        generator: Generator | None = None,
    ):  # fmt: skip
        vars(self).update({name: given for name, given in locals().items() if name != "self"})
        _check(**vars(self))
        self.names = scope_names(model, scope)
        device = next(model.parameters()).device
        self.generator = generator or _generator(device, torch.initial_seed())

    @classmethod
    def calibrated(cls, model: nn.Module, optimizer: torch.optim.Optimizer, **overrides: Any):
        """The reading `calibrated`, by look-ahead."""
        solution = {"beta": 3.0, "temperature": 1.0, "gumbel": 0.0, "weight_rule": "gate"}
        steps = dict.fromkeys(("centre", "normalise", "unit_scale", "shrink"), True)
        options = {"how": "lookahead", "optimizer": optimizer, **solution, **steps, **overrides}
        return cls(model, **options)

    def __call__(self, x_aug: Any, y_aug: Tensor, val_loss: Any = None, **given: Any) -> Refined:
        """Refine one augmented batch: `solve` with what the same arguments give `measure`."""
        pi, reliability = self.measure(x_aug, y_aug, val_loss, **given)
        return self.solve(pi, y_aug, reliability)

    def measure(
        self, x_aug: Any, y_aug: Tensor, val_loss: Any = None, *,
        val: tuple[Any, Tensor] | None = None, logits: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """Pi (B, K), calibrated and shrunk, and the reliability () that it was shrunk by.

        x_aug: what the model takes; y_aug: (B,) int64 in [0, K), or (B, K) rows on the simplex.
        val_loss: a scalar () or, with `shrink`, the pair of the two halves'. Or in its place
        val: inputs and labels whose cross-entropy is taken here, in eager passes; tensors, also in
            dicts, lists and tuples, are split into halves along their first dimension.
        logits: those of the training pass over x_aug at these parameters, with their graph, where
            the head's input is read. Look-ahead takes them for z(theta) if that pass was eager, on
            a CPU, in full precision, and another would give the same (no dropout, no state but
            batch norm's); else, or without them, it makes a pass of its own.
        """
        how = "head" if self.scope == "head" else self.how
        d = self._directions(val_loss, val)
        z, tangents = _tangents(self.model, x_aug, d, how, self.forward, self.epsilon, logits)
        p, parts = z.softmax(1), []
        for pi in (-self.sign * t for t in tangents):
            pi = _in_space(pi - _batch_mean(pi) if self.centre else pi, z, self.space)
            size = (1 - 2 * p + p.square().sum(1, keepdim=True)).clamp_min(1e-6).sqrt()
            parts.append(pi / size if self.normalise else pi)
        pi = sum(parts) / len(parts)
        reliability = pi.new_ones(())
        if self.unit_scale:
            pi = pi / _batch_mean(pi.square().mean(1)).sqrt().clamp_min(TINY)
        if self.shrink:
            labels = as_soft_labels(y_aug, *pi.shape)
            scores = torch.stack([(part * labels).sum(1) for part in parts], 1)
            scores = scores - _batch_mean(scores)
            spread = _batch_mean(scores.square()).prod().sqrt().clamp_min(TINY)
            reliability = (_batch_mean(scores.prod(1)) / spread).clamp_min(0)
        return reliability * pi, reliability

    def solve(self, pi: Tensor, y_aug: Tensor, reliability: Tensor) -> Refined:
        """Weights and labels of inner products pi (B, K), by this object's options."""
        weights, labels = solve(
            pi, y_aug, self.beta, self.temperature, self.gumbel, self.weight_rule, self.generator,
            slope=self.slope, keep_labels=self.keep_labels,
        )  # fmt: skip
        return Refined(weights, labels, pi, reliability)

    def _directions(self, val_loss, val) -> list[Direction]:
        """The validation gradients, of one or of two halves; or the optimiser's steps on them."""
        count, one = 1 + self.shrink, (val_loss is None) != (val is None)
        got = "neither" if val is None else "both"
        _require(one, "val_loss", "either a loss or val=(x, y)", got)

        def gradient(x, y):
            z = _logits(self.model, x, self.forward)
            as_soft_labels(y, *z.shape)
            return validation_gradient(self.model, F.cross_entropy(z, y), self.names)

        if val is not None:
            halves = [partial(gradient, *_part(tuple(val), i, count)) for i in range(count)]
            g = [_aside(self.model, half, precise=False)[0] for half in halves]
        else:
            losses = [val_loss] if isinstance(val_loss, Tensor) else list(val_loss)
            _require(len(losses) == count, "val_loss", f"{count} scalar loss(es)", len(losses))
            keep = zip(losses, [True, False][-count:], strict=True)
            g = [validation_gradient(self.model, loss, self.names, k) for loss, k in keep]
        optimizer = self.optimizer
        return [optimizer_direction(self.model, h, optimizer) for h in g] if optimizer else g


def scope_names(model: nn.Module, scope: str | Sequence[str]) -> list[str]:
    """Names of the trainable parameters in a scope.

    scope: "all"; "head", the last nn.Linear; or a list of names or of their prefixes.
    """
    names = [n for n, p in _bare(model).named_parameters() if p.requires_grad]
    ok = not isinstance(scope, str) or scope in ("all", "head")
    _require(ok, "scope", "one of all, head or a list of prefixes", repr(scope))
    stems = [_head(model)[0]] if scope == "head" else [f"{s}." for s in scope]
    stems = [""] if scope == "all" else stems
    ok = stems and all(any(f"{n}.".startswith(s) for n in names) for s in stems)
    _require(ok, "scope", f"trainable parameters, as in {names[:4]},", repr(scope))
    return [n for n in names if f"{n}.".startswith(tuple(stems))]


def _head(model):
    """The prefix of its parameters' names, and the last nn.Linear, if no other module uses them."""
    linears = [(n, m) for n, m in _bare(model).named_modules() if isinstance(m, nn.Linear)]
    _require(linears, "scope", "a model with an nn.Linear for 'head'", type(model).__name__)
    (name, head), every = linears[-1], _bare(model).named_parameters(remove_duplicate=False)
    prefix, own = f"{name}." if name else "", {id(p) for p in head.parameters()}
    shared = [n for n, p in every if id(p) in own and not n.startswith(prefix)]
    _require(not shared, "scope", "a 'head' that shares no parameters", shared)
    return prefix, head


# --- models as they come: state, precision, compilation, ranks; messages --------------------------
def _aside(model, function, theta=None, ours=True, precise=True):
    """function() with theta and copies of buffers and tensor attributes in the model's place, and
    whether it drew random numbers or left what another pass would see (not batch norm's averages).

    ours: a pass, eager and not checkpointed; precise: in full precision, without a graph.
    """
    _require(not torch.is_inference_mode_enabled(), "model", "no inference mode", "it is on")
    bare, host, precise = _bare(model), nn.Module(), ours and precise
    host.model, host.forward = bare, function  # functional_call wants a module of the tensors
    buffers = {f"model.{n}": b.clone() for n, b in bare.named_buffers()}
    tensors = buffers | {f"model.{n}": t for n, t in (theta or {}).items()}
    norms = tuple(f"model.{n}." for n, m in bare.named_modules() if type(m).__module__ in NORMS)
    owners, device = [vars(m) for m in bare.modules()], next(bare.parameters()).device
    generators = [v for own in owners for v in own.values() if isinstance(v, Generator)]
    generators += [torch.default_generator]
    generators += [torch.cuda.default_generators[device.index]] if device.type == "cuda" else []

    def drawn():
        return random.getstate(), [g.get_state().tolist() for g in generators]

    with ExitStack() as stack, torch.enable_grad():
        stack.callback(random.setstate, random.getstate())
        for get, put, value in [AUTOCAST_CACHE, *ours * EAGER, *precise * PRECISE]:
            stack.callback(put, get())
            put(value)
        for g in generators:
            stack.callback(g.set_state, g.get_state())
        fresh = [
            {k: v.clone() if isinstance(v, Tensor) else v for k, v in o.items()} for o in owners
        ]
        held = [(own, own.copy(), new) for own, new in zip(owners, fresh, strict=True)]
        for own, old, new in held:
            stack.callback(own.update, old)
            stack.callback(own.clear)
            own.update(new)
        if ours:
            stack.enter_context(torch.compiler.set_stance("force_eager"))
            stack.enter_context(torch.set_grad_enabled(not precise))
        if precise:
            stack.enter_context(torch.autocast(device.type, enabled=False))
        before, result = drawn(), torch.func.functional_call(host, tensors, ())
        left = [n for n, b in buffers.items() if tensors[n] is not b or b._version]
        traces = drawn() != before or any(not n.startswith(norms) for n in left)
        for own, old, new in held:
            moved = [k for k, v in new.items() if v is not old[k] and v._version]
            traces |= bool(moved) or any(own.get(k) is not v for k, v in new.items())
    return result, traces


def _logits(model, inputs, forward):
    """(B, K) logits of the module inside all wrappers, at least in float32."""
    bare = _bare(model)
    if isinstance(inputs, Tensor) and inputs.is_floating_point():
        inputs = inputs.to(next(bare.parameters()).dtype)
    z = forward(bare, inputs) if forward else bare(inputs)
    wanted = "a function (model, inputs) -> (B, K) logits"
    _require(isinstance(z, Tensor), "forward", wanted, f"an output of type {type(z).__name__}")
    shape = tuple(z.shape)
    _require(len(shape) == 2 and 0 not in shape, "inputs", "a batch with logits (B, K)", shape)
    return _full(z)


def _graph(z):
    """What z was made from: the ids of the leaves and the names of the nodes of its graph."""
    seen, todo = set(), [z.grad_fn if isinstance(z, Tensor) else z]
    while todo:
        if (node := todo.pop()) is not None and node not in seen:
            seen.add(node)
            todo += [n for n, _ in node.next_functions]
    return {id(n.variable) if hasattr(n, "variable") else n.name() for n in seen}


def _is_full(logits, named, directions):
    """Whether the graph of logits shows an eager pass of these parameters in full precision."""
    full = {mkldnn.matmul.fp32_precision, mkldnn.conv.fp32_precision} <= {"none", "ieee"}
    full = full and logits.device.type == "cpu" and not torch.is_autocast_enabled("cpu")
    graph, moved = _graph(logits), {id(named[n]) for d in directions for n in d}
    return full and graph & moved and not graph & {"ToCopyBackward0", "CompiledFunctionBackward"}


def _part(x, i, count):
    """The i-th of `count` parts of the tensors in x along their first dimension."""
    if isinstance(x, Mapping):
        return {k: _part(v, i, count) for k, v in x.items()}
    if isinstance(x, list | tuple):
        return tuple(_part(v, i, count) for v in x)
    return x.tensor_split(count)[i] if isinstance(x, Tensor) and x.dim() and count > 1 else x


def _bare(model):
    """The module inside DistributedDataParallel's, DataParallel's and torch.compile's wrappers."""
    parallel = nn.parallel.DistributedDataParallel | nn.DataParallel
    while isinstance(model, parallel) or hasattr(model, "_orig_mod"):
        model = getattr(model, "_orig_mod", None) or model.module
    return model


def _full(x):
    """At least float32."""
    return x if x.dtype == torch.float64 else x.float()


def _over_ranks(x, mean=False):
    """Sum or mean over the ranks of a process group."""
    if not (dist.is_available() and dist.is_initialized()):
        return x
    dist.all_reduce(x := x.clone())
    return x / dist.get_world_size() if mean else x


def _batch_mean(x):
    """Mean over the batch of all ranks: (B, ...) -> (...)."""
    return _over_ranks(x.sum(0)) / _over_ranks(x.new_tensor(float(len(x))))


def _generator(device, seed):
    rank = dist.get_rank() if dist.is_available() and dist.is_initialized() else 0
    return Generator(device).manual_seed((seed + rank) % 2**63)


_shared_generator = cache(_generator)


def _check(**options):
    for name, got in options.items():
        if allowed := CHOICES.get(name):
            _require(got in allowed, name, f"one of {', '.join(map(str, allowed))}", repr(got))
        elif name in ("beta", "gumbel", "slope"):
            ok = isinstance(got, Real) and 0 <= got <= HUGE
            _require(ok, name, "a number >= 0 of at most 1e30", repr(got))
        elif name == "temperature" or (name == "epsilon" and got is not None):
            ok = isinstance(got, Real) and TINY <= got <= HUGE
            _require(ok, name, "a number > 0 from 1e-30 to 1e30", repr(got))


def _require(ok, name, expected, got):
    if not ok:
        raise ValueError(f"{name}: {expected} expected, got {got}")
