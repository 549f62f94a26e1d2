"""SAFLEX: weights and soft labels for augmented samples, from validation gradients (2410.02512).

At every training step the augmented samples x_i get the weights w_i and soft labels y_i that lower
the validation loss most, to first order in a, after one step theta - a grad L_aug on

    L_aug = sum_i w_i sum_k y_ik (-log p_ik).

With the validation gradient g it falls by a <g, grad L_aug> = a sum_i w_i (y_i . Pi_i), where

    Pi_ik = <g, grad(-log p_ik)> = -(d/de) log p_k(x_i; theta + e g) at e = 0    (Eq. 9, sign right)

is a directional derivative of the outputs, and the best w and y solve a linear programme, sample by
sample. The sections follow the derivation; B is the batch, K the number of classes.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, autograd, nn
from torch.autograd.forward_ad import dual_level, make_dual, unpack_dual
from torch.backends import cuda, cudnn, mha, mkldnn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import get_total_norm

Direction = dict[str, Tensor]
Forward = Callable[[nn.Module, Any], Tensor]

SPACES = ("log_probs", "probs", "logits")
HOWS = ("jvp", "lookahead", "head")
WEIGHT_RULES = ("label", "sum", "gate", "positive", "all")
TINY = 1e-30


# --- the direction: the validation gradient, and what the optimiser makes of it -------------------
def validation_gradient(
    model: nn.Module, loss: Tensor, names: Sequence[str] | None = None, retain_graph: bool = False
) -> Direction:
    """g = grad_theta of the validation loss () for the trainable parameters, or those of `names`.

    Averaged over the ranks of a process group; there, take the loss of the module inside DDP.
    ValueError if the loss is no scalar, not finite or independent of the parameters.
    """
    _require(loss.dim() == 0, "loss", "a scalar of shape ()", tuple(loss.shape))
    _require(loss.isfinite(), "loss", "a finite scalar", float(loss.detach()))
    _require(loss.requires_grad, "loss", "a function of trainable parameters", "a constant")
    named = {n: p for n, p in _bare(model).named_parameters() if p.requires_grad}
    named = {n: named[n] for n in names or named}
    g = autograd.grad(loss, [*named.values()], retain_graph=retain_graph, materialize_grads=True)
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


# --- the inner products: one directional derivative of the model's outputs ------------------------
def inner_products(
    model: nn.Module, inputs: Any, direction: Direction, space: str = "log_probs", how: str = "jvp",
    forward: Forward | None = None, epsilon: float | None = None,
) -> Tensor:  # fmt: skip
    """Pi (B, K): Pi[i, k] = -d/de space_k(model(inputs[i]; theta + e direction)) at e = 0.

    direction: parameter name -> tensor of its shape; parameters left out do not move.
    space: with z the logits and p = softmax(z), "logits" is Pi_z = -dz/de, "log_probs" (derived)
        Pi_z - p . Pi_z, so sum_k p_k Pi_k = 0, "probs" p times the latter, so sum_k Pi_k = 0.
    how: "jvp" is exact, by forward-mode differentiation (attention by its math backend);
        "lookahead" is (z(theta + e d) - z(theta)) / e from plain forward passes; "head" is exact
        in closed form, for a direction in the last nn.Linear alone.
    forward: (model, inputs) -> (B, K) logits, where model(inputs) is something else.
    epsilon: look-ahead's e. By default |e d| = sqrt(machine epsilon) / 30 |theta|, in float32
        1.2e-5 |theta|: larger steps bend (batch norm), smaller ones drown in rounding; Pi is then
        right to about 1e-2, 1e-1 in a fresh network with batch norm in training mode. 1 after
        `optimizer_direction` is that optimiser's own finite step.
    Nothing of the model changes, nor the random state; dropout draws one mask for value and
    derivative. Autocast, TF32 and torch.compile are off inside; Pi is float32 (or float64).
    ValueError for other choices, for unknown names, wrong shapes or non-finite values in the
    direction, and for outputs that are not (B, K).
    """
    _require_one_of(SPACES, "space", space)
    logits, (tangent,) = _tangents(model, inputs, [direction], how, forward, epsilon)
    return _in_space(-tangent, logits, space)


def _in_space(pi: Tensor, logits: Tensor, space: str) -> Tensor:
    """Pi of the logits turned into Pi of `space`: (B, K) -> (B, K)."""
    if space == "logits":
        return pi
    p = _full(logits.detach()).softmax(1)
    for _ in range(2):  # the second round removes the rounding error of a large common mode
        pi = pi - (p * pi).sum(1, keepdim=True)
    return p * pi if space == "probs" else pi


def _tangents(model, inputs, directions, how, forward, epsilon, ride=False):
    """z (B, K) and dz/de (B, K) along each direction; with `ride`, z is the training pass's."""
    _require_one_of(HOWS, "how", how)
    bare, call, x = _bare(model), forward or (lambda m, x: m(x)), inputs
    named = dict(bare.named_parameters())
    for d in directions:
        for n, t in d.items():
            _require(n in named, "direction", "names of named_parameters()", n)
            shape = tuple(named[n].shape)
            _require(shape == t.shape, "direction", f"shape {shape} for {n}", tuple(t.shape))
        finite = d and get_total_norm(d.values()).isfinite()
        _require(finite, "direction", "one or more finite tensors", f"{len(d)} tensors")
    first = next(iter(named.values()))
    if isinstance(x, Tensor) and x.is_floating_point():
        x = x.to(first.dtype)
    full = {mkldnn.matmul.fp32_precision, mkldnn.conv.fp32_precision} <= {"none", "ieee"}
    alike = full and first.device.type == "cpu" and not torch.is_autocast_enabled("cpu")
    shared = ride and not _compiled(model) and (how == "head" or (how == "lookahead" and alike))
    along = {"jvp": _exact, "lookahead": _lookahead, "head": _closed_form}[how]
    plain, train = partial(call, bare, x), partial(call, model, inputs)
    at_theta = train if shared else _aside(bare)(plain)
    logits, tangents = along(bare, named, directions, plain, at_theta, epsilon)
    logits = train() if ride and not shared else logits
    shape = tuple(logits.shape)
    _require(len(shape) == 2 and 0 not in shape, "inputs", "a batch with logits (B, K)", shape)
    return logits, [_full(t.detach()) for t in tangents]


def _exact(model, named, directions, plain, at_theta, epsilon):
    """Forward mode: dual parameters theta + e d in, dual logits z + e dz out."""
    tangents, module = [], nn.Module()
    module.model, module.forward = model, plain  # functional_call wants a module of the tensors
    for d in directions:
        with _aside(model), dual_level(), sdpa_kernel(SDPBackend.MATH):
            duals = {f"model.{n}": make_dual(named[n], t.to(named[n])) for n, t in d.items()}
            logits, dz = unpack_dual(torch.func.functional_call(module, duals, ()))
            tangents.append(torch.zeros_like(logits) if dz is None else dz)
    return logits, tangents


def _lookahead(model, named, directions, plain, at_theta, epsilon):
    """Plain passes: dz = (z(theta + e d) - z(theta)) / e."""
    moved = []
    for d in directions:
        size = get_total_norm([named[n].detach() for n in d])
        unit = size / get_total_norm(d.values()).clamp_min(TINY)
        e = epsilon or torch.finfo(size.dtype).eps ** 0.5 / 30 * unit
        with _aside(model, {named[n]: named[n].detach() + e * t for n, t in d.items()}):
            moved.append((_full(plain()), e))
    logits = at_theta()
    return logits, [(z - _full(logits.detach())) / e for z, e in moved]


def _closed_form(model, named, directions, plain, at_theta, epsilon):
    """dz = dW x + db of the last linear layer, with x its input in the pass at theta."""
    seen, (prefix, head) = {}, _head(model)
    with head.register_forward_hook(lambda _, x, z: seen.update(x=_full(x[0].detach()), z=z)):
        logits = at_theta()
    same = "z" in seen and torch.equal(seen["z"], logits)
    ok = same and all(n in (f"{prefix}weight", f"{prefix}bias") for d in directions for n in d)
    got = [*directions[0]] if same else "a model that changes it"
    _require(ok, "how", f"'head' with a direction in {prefix}* and its output as logits", got)
    tangents, x = [], seen["x"]
    with torch.autocast(x.device.type, enabled=False):
        for d in directions:
            moved = {f"{prefix}weight": torch.zeros_like(head.weight)} | d
            moved = {n.removeprefix(prefix): t.to(x) for n, t in moved.items()}
            tangents.append(F.linear(x, **moved))
    return logits, tangents


@contextmanager
def _aside(model: nn.Module, theta: dict[Tensor, Tensor] | None = None):
    """For eager passes at `theta`, without a graph, in full float32, that leave all as it was."""
    device = next(model.parameters()).device
    random = torch.random.fork_rng([device] if device.type == "cuda" else [])
    with torch.no_grad(), torch.autocast(device.type, enabled=False), random, ExitStack() as stack:
        if _compiled(model):
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        for kernels in (cudnn.conv, cudnn.rnn, cuda.matmul, mkldnn.conv, mkldnn.matmul):
            stack.callback(setattr, kernels, "fp32_precision", kernels.fp32_precision)
            kernels.fp32_precision = "ieee"
        stack.callback(torch.set_float32_matmul_precision, torch.get_float32_matmul_precision())
        torch.set_float32_matmul_precision("highest")
        stack.callback(mha.set_fastpath_enabled, mha.get_fastpath_enabled())
        mha.set_fastpath_enabled(False)
        for tensor, other in [*(theta or {}).items(), *((b, b.clone()) for b in model.buffers())]:
            stack.callback(setattr, tensor, "data", tensor.data)
            tensor.data = other
        yield


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
    keep_labels: return the upstream labels in place of y_i (and weigh them by the rule).
    generator: for the noise; default one of this module's own, seeded with torch.initial_seed() by
        the first call that finds it.
    Returns weights >= 0 that sum to 1, or are all 0 if no sample is kept, and rows on the simplex.
    ValueError for other pi or labels, temperature <= 0 and an unknown weight_rule.
    """
    _require_one_of(WEIGHT_RULES, "weight_rule", weight_rule)
    shape = tuple(pi.shape)
    _require(len(shape) == 2 and 0 not in shape, "pi", "shape (B, K) with B, K >= 1", shape)
    bad = int((~pi.isfinite()).sum())
    _require(not bad, "pi", "finite values", f"{bad} others in shape {shape}")
    _require(temperature > 0, "temperature", "a number > 0", temperature)
    pi = _full(pi)
    y_aug = y = as_soft_labels(labels, *shape).to(pi)
    if not keep_labels:
        y = pi + beta * y_aug
        if gumbel:
            generator = generator or _shared_generator(pi.device, torch.initial_seed())
            noise = torch.empty_like(pi).exponential_(generator=generator)
            y = y - gumbel * noise.clamp_min(TINY).log()
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
    """Labels (B,) int64 or (B, K) as (B, K) float rows; ValueError if off [0, K) or the simplex."""
    got = f"{tuple(labels.shape)} {labels.dtype}"
    if labels.shape == (batch,) and labels.dtype == torch.int64:
        low, high = int(labels.min()), int(labels.max())
        ok = low >= 0 and high < classes
        _require(ok, "labels", f"classes in [0, {classes})", f"[{low}, {high}] in {got}")
        return F.one_hot(labels, classes).float()
    ok = labels.shape == (batch, classes) and labels.is_floating_point()
    _require(ok, "labels", f"({batch},) int64 or ({batch}, {classes}) float", got)
    tolerance = max(1e-3, 2 * torch.finfo(labels.dtype).eps)
    on = (labels >= 0).all(1) & ((_full(labels).sum(1) - 1).abs() <= tolerance)
    _require(on.all(), "labels", "rows on the simplex", f"{labels[~on][:1].tolist()} in {got}")
    return labels


def soft_cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """sum_i w_i (-(y_i . log_softmax(z_i))), Eq. (7): (B, K), (B, K), (B,) -> ()."""
    return -(weights * (labels * _full(logits).log_softmax(1)).sum(1)).sum()


def contrastive_logits(a: Tensor, b: Tensor, scale: float | Tensor) -> Tensor:
    """Logits (2B, B) of both directions of the contrastive loss, Eq. (13): B proxy classes each.

    a, b: (B, d) embeddings of paired items, L2-normalised here. Rows 0..B-1, Eq. (12), pick the
    partner of each a among the b, rows B..2B-1 that of each b among the a. A `forward` that returns
    them makes SAFLEX learn the targets and weights of Eq. (14), with labels arange(B) twice.
    """
    similarity = scale * F.normalize(a, dim=1) @ F.normalize(b, dim=1).T
    return torch.cat([similarity, similarity.T])


# --- all of it, for a training loop ---------------------------------------------------------------
@dataclass(frozen=True)
class Refined:
    weights: Tensor  # (B,)
    labels: Tensor  # (B, K)
    inner_products: Tensor  # (B, K), what they were solved from
    logits: Tensor  # (B, K), at theta
    reliability: Tensor  # (), of the validation gradient; 1 unless `shrink`


@dataclass
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
        least 0) over i of their scores Pi_i . y_aug_i; val_loss is then the pair of their losses.
    momentum, every: exponential average of the validation gradient; renew it every so many calls.
    generator: for the noise; default one of this object's own, seeded with torch.initial_seed().
    In a process group x_aug is one rank's share; what is taken over the batch is over all ranks'.
    """

    model: nn.Module
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
    sign: float = 1.0
    centre: bool = False
    normalise: bool = False
    unit_scale: bool = False
    shrink: bool = False
    momentum: float = 0.0
    every: int = 1
    generator: torch.Generator | None = None

    def __post_init__(self):
        for name, allowed in (("space", SPACES), ("how", HOWS), ("weight_rule", WEIGHT_RULES)):
            _require_one_of(allowed, name, getattr(self, name))
        _require(self.temperature > 0, "temperature", "a number > 0", self.temperature)
        _require(0 <= self.momentum < 1, "momentum", "a number in [0, 1)", self.momentum)
        _require(self.every >= 1, "every", "an integer >= 1", self.every)
        self._names = scope_names(self.model, self.scope)
        self._gradients, self._calls = [], 0
        device = next(self.model.parameters()).device
        self.generator = self.generator or _generator(device, torch.initial_seed())

    def __call__(self, x_aug, y_aug: Tensor, val_loss, ride: bool = False) -> Refined:
        """Refine one augmented batch.

        x_aug: what the model takes; y_aug: (B,) int64 or (B, K) rows on the simplex; val_loss: ()
        scalar, the pair that `shrink` needs, or a function called when the gradient is renewed.
        ride: refined.logits are those of the caller's training pass: they carry its graph, and
            batch-norm statistics and the random state move as by model(x_aug). Head, and look-ahead
            on a CPU in full precision, then make no further pass at theta.
        """
        how = "head" if self.scope == "head" else self.how
        logits, tangents = _tangents(
            self.model, x_aug, self._directions(val_loss), how, self.forward, self.epsilon, ride
        )
        parts = [self._calibrated(-self.sign * t, logits) for t in tangents]
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
        weights, y = solve(
            pi := reliability * pi, y_aug, self.beta, self.temperature, self.gumbel,
            self.weight_rule, self.generator, slope=self.slope, keep_labels=self.keep_labels,
        )  # fmt: skip
        return Refined(weights, y, pi, logits, reliability)

    def state_dict(self) -> dict[str, Any]:
        """What `momentum` and `every` carry from call to call, for a checkpoint."""
        return {"gradients": self._gradients, "calls": self._calls}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        device = next(self.model.parameters()).device
        self._gradients = [{n: t.to(device) for n, t in g.items()} for g in state["gradients"]]
        self._calls = state["calls"]

    def _directions(self, val_loss) -> list[Direction]:
        """The validation gradient, or its halves', renewed when due; the optimiser's step on it."""
        if self._calls % self.every == 0:
            losses = val_loss() if callable(val_loss) else val_loss
            losses = [losses] if isinstance(losses, Tensor) else list(losses)
            count, old, m = 1 + self.shrink, self._gradients, self.momentum
            _require(len(losses) == count, "val_loss", f"{count} scalar loss(es)", len(losses))
            self._gradients = [
                validation_gradient(self.model, loss, self._names, i < count)
                for i, loss in enumerate(losses, 1)
            ]
            for mean, g in zip(self._gradients, old if m else [], strict=False):
                mean |= {n: m * g[n] + (1 - m) * mean[n] for n in mean}
        self._calls += 1
        if self.optimizer is None:
            return self._gradients
        return [optimizer_direction(self.model, g, self.optimizer) for g in self._gradients]

    def _calibrated(self, pi: Tensor, logits: Tensor) -> Tensor:
        """Pi (B, K) of the logits, centred, in its space and normalised."""
        pi = _in_space(pi - _batch_mean(pi) if self.centre else pi, logits, self.space)
        if self.normalise:
            p = _full(logits.detach()).softmax(1)
            pi = pi / (1 - 2 * p + p.square().sum(1, keepdim=True)).clamp_min(1e-6).sqrt()
        return pi


def scope_names(model: nn.Module, scope: str | Sequence[str]) -> list[str]:
    """Names of the trainable parameters in a scope; ValueError if there are none.

    scope: "all"; "last_block", the last composite element of an nn.Sequential or nn.ModuleList
    (else the last child) and all after it; "head", the last nn.Linear; or names or prefixes.
    """
    model = _bare(model)
    named = dict(model.named_parameters())
    start, stems = 0, ("",)
    if scope == "last_block":
        lists = [m for m in model.modules() if isinstance(m, nn.Sequential | nn.ModuleList)]
        ends = {m[-1] for m in lists if len(m)}
        blocks = [n for n, m in model.named_modules() if m in ends and [*m.children()]]
        blocks = blocks or [n for n, m in model.named_children() if [*m.parameters()]] or [""]
        stem = f"{blocks[-1]}." if blocks[-1] else ""
        start = [n.startswith(stem) for n in named].index(True)
    elif scope == "head":
        stems = (_head(model)[0],)
    elif scope != "all":
        _require(not isinstance(scope, str), "scope", "one of all, last_block, head", repr(scope))
        stems = tuple(f"{s}." for s in scope)
    names = [n for n in list(named)[start:] if f"{n}.".startswith(stems) and named[n].requires_grad]
    _require(names, "scope", f"trainable parameters, as in {list(named)[:4]},", repr(scope))
    return names


def _head(model: nn.Module) -> tuple[str, nn.Linear]:
    """The prefix of its parameters' names, and the last nn.Linear, if no other module uses them."""
    linears = [(n, m) for n, m in model.named_modules() if isinstance(m, nn.Linear)]
    _require(linears, "scope", "a model with an nn.Linear for 'head'", type(model).__name__)
    name, head = linears[-1]
    prefix, own = f"{name}." if name else "", {id(p) for p in head.parameters()}
    uses = [n for n, p in model.named_parameters(remove_duplicate=False) if id(p) in own]
    shared = [n for n in uses if not n.startswith(prefix)]
    _require(not shared, "scope", "a 'head' that shares no parameters", shared)
    return prefix, head


# --- models as they come, ranks of a process group, messages --------------------------------------
def _bare(model: nn.Module) -> nn.Module:
    """The module inside DistributedDataParallel's and torch.compile's wrappers."""
    while isinstance(model, DistributedDataParallel) or hasattr(model, "_orig_mod"):
        model = getattr(model, "_orig_mod", None) or model.module
    return model


def _compiled(model: nn.Module) -> bool:
    return any(hasattr(m, "_orig_mod") or m._compiled_call_impl for m in model.modules())


def _full(x: Tensor) -> Tensor:
    """At least float32."""
    return x if x.dtype == torch.float64 else x.float()


def _over_ranks(x: Tensor, mean: bool = False) -> Tensor:
    """Sum or mean over the ranks of a process group."""
    if not (dist.is_available() and dist.is_initialized()):
        return x
    dist.all_reduce(x := x.clone())
    return x / dist.get_world_size() if mean else x


def _batch_mean(x: Tensor) -> Tensor:
    """Mean over the batch of all ranks: (B, ...) -> (...)."""
    return _over_ranks(x.sum(0)) / _over_ranks(x.new_tensor(float(len(x))))


def _generator(device: torch.device, seed: int) -> torch.Generator:
    rank = dist.get_rank() if dist.is_available() and dist.is_initialized() else 0
    return torch.Generator(device).manual_seed((seed + rank) % 2**63)


_shared_generator = cache(_generator)


def _require_one_of(allowed: Sequence[str], name: str, got: Any) -> None:
    _require(got in allowed, name, f"one of {', '.join(allowed)}", repr(got))


def _require(ok: Any, name: str, expected: str, got: Any) -> None:
    if not ok:
        raise ValueError(f"{name}: {expected} expected, got {got}")
