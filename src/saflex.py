"""SAFLEX: sample weights and soft labels for augmented samples, learned from validation gradients.

Ding et al., arXiv 2410.02512. At every training step the augmented samples x_i get the weights w_i
and soft labels y_i that lower the validation loss most after one step on

    L_aug = sum_i w_i sum_k y_ik (-log p_ik),      theta' = theta - a grad L_aug,

to first order in a. With the validation gradient g the validation loss falls by
a <g, grad L_aug> = a sum_i w_i (y_i . Pi_i), where (Eq. 9 with the sign of Eq. 7)

    Pi_ik = <g, grad(-log p_ik)> = -(d/de) log p_k(x_i; theta + e g) at e = 0.

So Pi, of shape (B, K), is one directional derivative of the model's outputs, and the best weights
and labels are a linear programme that each sample solves alone. The file follows the derivation:
the direction g, the inner products Pi, their calibration, the solution, the loss, and the class
`SAFLEX` that chains them. It needs torch only; B is the batch, K the number of classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn.attention import SDPBackend, sdpa_kernel

Direction = dict[str, Tensor]
Forward = Callable[[nn.Module, Any], Tensor]

SPACES = ("log_probs", "probs", "logits")
HOWS = ("jvp", "lookahead", "head")
WEIGHT_RULES = ("label", "sum", "gate", "positive", "all")


# --- the direction: the validation gradient, and what the optimiser makes of it ------------------


def validation_gradient(model: nn.Module, loss: Tensor, *, retain_graph: bool = False) -> Direction:
    """g = grad_theta of the validation loss, for every trainable parameter by name.

    loss: () scalar computed with `model`. In a process group g is averaged over the ranks; there,
    compute the loss with the module that DistributedDataParallel wraps.
    ValueError if the loss is no finite scalar or does not depend on a trainable parameter.
    """
    if loss.dim() or not torch.isfinite(loss):
        raise ValueError(f"loss: a finite scalar is expected, got {loss.detach()}")
    if not loss.requires_grad:
        raise ValueError("loss: it does not depend on any trainable parameter of the model")
    named = {n: p for n, p in _bare(model).named_parameters() if p.requires_grad}
    grads = torch.autograd.grad(
        loss, list(named.values()), allow_unused=True, retain_graph=retain_graph
    )
    return {
        n: torch.zeros_like(p) if g is None else _over_ranks(g) / _ranks()
        for (n, p), g in zip(named.items(), grads, strict=True)
    }


def optimizer_direction(
    model: nn.Module, direction: Direction, optimizer: torch.optim.Optimizer
) -> Direction:
    """P g: how the optimiser's next step moves theta (up to sign) per unit of gradient along g.

    The step that follows a gradient h is -P h plus what the state alone causes, so the validation
    loss falls by <g, P grad L_aug> = <P g, grad L_aug>. With the state held fixed, P is
    lr (1 - dampening) for SGD with momentum m (lr (1 + m) with Nesterov's), and
    lr (1 - b1) / (1 - b1^t) / (sqrt(v / (1 - b2^(t-1))) + eps) for the t-th step of Adam and AdamW,
    lr alone before the first. ValueError for any other optimiser.
    """
    if not isinstance(optimizer, torch.optim.SGD | torch.optim.Adam | torch.optim.AdamW):
        raise ValueError(f"optimizer: SGD, Adam or AdamW is expected, got {type(optimizer)}")
    names = {p: n for n, p in _bare(model).named_parameters()}
    moved = {n: torch.zeros_like(d) for n, d in direction.items()}
    for group in optimizer.param_groups:
        for p in group["params"]:
            if (name := names.get(p)) not in direction:
                continue
            state, scale = optimizer.state.get(p, {}), group["lr"]
            if "exp_avg_sq" in state:
                (b1, b2), t = group["betas"], float(state["step"]) + 1
                v = state["max_exp_avg_sq" if group["amsgrad"] else "exp_avg_sq"]
                root = (v / (1 - b2 ** (t - 1))).sqrt() + group["eps"]
                scale = scale * (1 - b1) / (1 - b1**t) / root
            elif group.get("nesterov"):
                scale = scale * (1 + group["momentum"])
            elif state.get("momentum_buffer") is not None:
                scale = scale * (1 - group["dampening"])
            moved[name] = scale * direction[name]
    return moved


# --- the inner products: one directional derivative of the model's outputs -----------------------


def inner_products(
    model: nn.Module,
    inputs: Any,
    direction: Direction,
    space: str = "log_probs",
    how: str = "jvp",
    forward: Forward | None = None,
    epsilon: float | None = None,
) -> Tensor:
    """Pi (B, K): Pi[i, k] = -d/de space_k(model(inputs[i]; theta + e direction)) at e = 0.

    direction: parameter name -> tensor of its shape; parameters left out do not move.
    space: with z the logits and p = softmax(z),
        "logits"     Pi_z = -dz/de,
        "log_probs"  Pi_z - p . Pi_z   (the derivation's; sum_k p_k Pi_k = 0),
        "probs"      p * (Pi_z - p . Pi_z)   (p-weighted; sum_k Pi_k = 0).
    how: "jvp" is exact, by forward-mode differentiation; "lookahead" takes (z(theta + epsilon
        direction) - z(theta)) / epsilon from one extra plain forward pass; "head" is exact and in
        closed form, for a direction in the last nn.Linear alone.
    forward: (model, inputs) -> (B, K) logits, where model(inputs) is something else.
    epsilon: look-ahead only; default 1e-5 |theta| / |direction|. 1 after `optimizer_direction` is
        the optimiser's own step, finite as it will be taken.
    The model's parameters, gradients, buffers and mode and the random state stay as they are, and
    dropout draws one mask for value and derivative. Pi is float32, also under autocast.
    """
    _check_choice("space", space, SPACES)
    logits, (tangent,) = _tangents(model, inputs, [direction], how, forward, epsilon)
    return _in_space(-tangent, logits, space)


def _in_space(pi: Tensor, logits: Tensor, space: str) -> Tensor:
    """Pi of the logits turned into Pi of `space`: (B, K) -> (B, K)."""
    if space == "logits":
        return pi
    p = logits.detach().float().softmax(1)
    pi = pi - (p * pi).sum(1, keepdim=True)
    return p * pi if space == "probs" else pi


def _tangents(model, inputs, directions, how, forward, epsilon, ride=False):
    """z (B, K) and dz/de (B, K) along each direction; with `ride`, z as the training pass's."""
    _check_choice("how", how, HOWS)
    call = forward or (lambda m, x: m(x))
    bare = _bare(model)
    if how != "lookahead":
        model = model if ride else bare
    named = dict(bare.named_parameters())
    _check_directions(named, directions)
    device = next(iter(named.values())).device

    def apart(params: Direction, target: nn.Module) -> Tensor:
        """A pass at other parameters that leaves buffers and random state alone."""
        buffers = {n: b.clone() for n, b in bare.named_buffers()}
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            return _at(target, {**params, **buffers}, inputs, call)

    def plain() -> Tensor:
        if ride:
            return call(model, inputs)
        with torch.no_grad():
            return apart({}, bare)

    if how == "lookahead":
        target = model.module if isinstance(model, nn.parallel.DistributedDataParallel) else model
        mixed = torch.is_autocast_enabled(device.type)
        with torch.no_grad(), torch.autocast(device.type, enabled=False):
            steps = [_step_size(named, d) if epsilon is None else epsilon for d in directions]
            moved = [
                apart({n: named[n] + e * d[n].to(named[n].dtype) for n in d}, target)
                for e, d in zip(steps, directions, strict=True)
            ]
            start = apart({}, target) if mixed or not ride else None
        logits = plain() if ride else start
        start = logits.detach() if start is None else start
        tangents = [(z.float() - start.float()) / e for z, e in zip(moved, steps, strict=True)]
    elif how == "head":
        seen = {}
        name, head = _head(bare)
        hook = head.register_forward_hook(lambda _, x, z: seen.update(x=x[0].detach(), z=z))
        try:
            logits = plain()
        finally:
            hook.remove()
        outside = {n for d in directions for n in d} - {f"{name}.weight", f"{name}.bias"}
        if outside or seen.get("z") is not logits:
            raise ValueError(
                f"how: 'head' is for a direction in {name!r} and a model that returns its output; "
                f"got {sorted(outside) or 'a model that changes it'}"
            )
        tangents = [
            F.linear(seen["x"].float(), d[f"{name}.weight"].float(), d.get(f"{name}.bias"))
            for d in directions
        ]
    else:
        tangents = []
        with torch.no_grad(), ExitStack() as stack:
            stack.enter_context(sdpa_kernel(SDPBackend.MATH))
            fast = torch.backends.mha.get_fastpath_enabled()
            torch.backends.mha.set_fastpath_enabled(False)
            stack.callback(torch.backends.mha.set_fastpath_enabled, fast)
            for d in directions:
                with forward_ad.dual_level():
                    duals = {n: forward_ad.make_dual(named[n], t.to(named[n])) for n, t in d.items()}
                    logits, dz = forward_ad.unpack_dual(apart(duals, bare))
                    tangents.append(torch.zeros_like(logits) if dz is None else dz)
        logits = plain() if ride else logits
    if logits.dim() != 2 or not len(logits):
        raise ValueError(f"inputs: the model must return (B, K) logits, got {tuple(logits.shape)}")
    return logits, [t.detach().float() for t in tangents]


class _Call(nn.Module):
    """`call(model, inputs)` as a module, so that functional_call can set the model's tensors."""

    def __init__(self, model: nn.Module, call: Forward):
        super().__init__()
        self.model, self.call = model, call

    def forward(self, inputs: Any) -> Tensor:
        return self.call(self.model, inputs)


def _at(model: nn.Module, tensors: Direction, inputs: Any, call: Forward) -> Tensor:
    bound = _Call(model, call)
    first = next(n for n, _ in _bare(model).named_parameters())
    prefix = next(n for n, _ in bound.named_parameters()).removesuffix(first)
    return torch.func.functional_call(bound, {prefix + n: t for n, t in tensors.items()}, (inputs,))


def _step_size(named: Direction, direction: Direction) -> Tensor:
    """e with |e d| = 1e-5 |theta|: large enough for float32, small enough to be linear."""

    def norm(tensors):
        return torch.stack([t.float().norm() for t in tensors]).norm()

    return 1e-5 * norm([named[n] for n in direction]) / norm(direction.values()).clamp_min(1e-30)


# --- the solution: Theorem 1 with the two modifications that follow it ----------------------------


def solve(
    pi: Tensor,
    labels: Tensor,
    beta: float = 0.0,
    temperature: float = 0.01,
    gumbel: float = 1.0,
    weight_rule: str = "label",
    generator: torch.Generator | None = None,
    *,
    slope: float = 2.0,
    keep_labels: bool = False,
) -> tuple[Tensor, Tensor]:
    """Weights (B,) and labels (B, K) of augmented samples from their inner products (Algorithm 1).

    y_i = softmax((Pi_i + beta y_aug_i + gumbel G) / temperature), G ~ Gumbel(0, 1) i.i.d.; as
    gumbel and temperature go to 0 it is Theorem 1's OneHot(argmax_k). Then w_i, before they are
    divided by their sum over the batch (of all ranks), is by `weight_rule`
        "label"     1 if Pi_i . y_i >= 0 else 0                  (Algorithm 1)
        "sum"       1 if sum_k Pi_ik >= 0, up to rounding, else 0  (Theorem 1)
        "gate"      sigmoid(slope Pi_i . y_aug_i)                (soft)
        "positive"  max(0, Pi_i . y_aug_i)                       (Ren et al. 2018, Eq. 12)
        "all"       1.
    pi: (B, K), finite. labels: (B,) int64 in [0, K), or (B, K) rows on the simplex.
    keep_labels: return the upstream labels in place of y_i (and weigh them by the rule).
    generator: for the noise, on the device of pi; default one of this module's own, seeded with
        torch.initial_seed() when it is first used, so that the global random state never moves.
    Returns weights >= 0 that sum to 1, or are all 0 if no sample is kept, and rows on the simplex.
    """
    _check_choice("weight_rule", weight_rule, WEIGHT_RULES)
    if pi.dim() != 2 or not pi.numel():
        raise ValueError(f"pi: shape (B, K) with B, K >= 1 is expected, got {tuple(pi.shape)}")
    if not torch.isfinite(pi).all():
        raise ValueError(f"pi: finite values are expected, got {int((~pi.isfinite()).sum())} others")
    if not temperature > 0:
        raise ValueError(f"temperature: a number > 0 is expected, got {temperature}")
    y_aug = y = as_soft_labels(labels, *pi.shape).to(pi)
    if not keep_labels:
        y = pi + beta * y_aug
        if gumbel:
            noise = torch.empty_like(pi).exponential_(generator=generator or _noise(pi.device))
            y = y - gumbel * noise.clamp_min(1e-30).log()
        y = (y / temperature).softmax(1)
    match weight_rule:
        case "label":
            weights = ((pi * y).sum(1) >= 0).to(pi)
        case "sum":
            weights = (pi.sum(1) >= -1e-6 * pi.abs().sum(1)).to(pi)
        case "gate":
            weights = torch.sigmoid(slope * (pi * y_aug).sum(1))
        case "positive":
            weights = (pi * y_aug).sum(1).clamp_min(0)
        case "all":
            weights = torch.ones_like(pi[:, 0])
    return weights / _over_ranks(weights.sum()).clamp_min(1e-30), y


def as_soft_labels(labels: Tensor, batch: int, classes: int) -> Tensor:
    """Labels (B,) int64 or (B, K) as (B, K) float rows; ValueError if off [0, K) or the simplex."""
    if labels.shape == (batch,) and labels.dtype == torch.int64:
        if labels.min() < 0 or labels.max() >= classes:
            raise ValueError(
                f"labels: classes in [0, {classes}) are expected, "
                f"got [{int(labels.min())}, {int(labels.max())}]"
            )
        return F.one_hot(labels, classes).float()
    if labels.shape != (batch, classes) or not labels.is_floating_point():
        raise ValueError(
            f"labels: ({batch},) int64 or ({batch}, {classes}) float is expected, "
            f"got {tuple(labels.shape)} {labels.dtype}"
        )
    off = (labels.sum(1) - 1).abs() > 1e-3
    if not torch.isfinite(labels).all() or (labels < 0).any() or off.any():
        raise ValueError(f"labels: rows on the simplex are expected, got {labels[off][:1].tolist()}")
    return labels


def soft_cross_entropy(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    """sum_i w_i (-(y_i . log_softmax(z_i))), Eq. (7): (B, K), (B, K), (B,) -> ()."""
    return -(weights * (labels * logits.float().log_softmax(1)).sum(1)).sum()


def contrastive_logits(a: Tensor, b: Tensor, scale: float | Tensor) -> Tensor:
    """Logits (2B, B) of both directions of the contrastive loss, Eq. (13): B proxy classes each.

    a, b: (B, d) embeddings of the paired items; they are L2-normalised here. Rows 0..B-1 pick the
    partner of each a among the b, rows B..2B-1 that of each b among the a; the first half alone is
    Eq. (12). A `forward` that returns them makes SAFLEX learn targets and weights for each
    direction, with labels arange(B) twice.
    """
    similarity = scale * F.normalize(a, dim=1) @ F.normalize(b, dim=1).T
    return torch.cat([similarity, similarity.T])


# --- all of it, for a training loop ----------------------------------------------------------------


@dataclass(frozen=True)
class Refined:
    """weights (B,), labels (B, K), the inner_products (B, K) they were solved from, the logits
    (B, K) at theta, and the reliability () of the validation gradient (1 unless `shrink`)."""

    weights: Tensor
    labels: Tensor
    inner_products: Tensor
    logits: Tensor
    reliability: Tensor


@dataclass
class SAFLEX:
    """refined = SAFLEX(model, ...)(x_aug, y_aug, val_loss), once per training step.

    The defaults are Algorithm 1 with the sign of the derivation. Everything else:
    space, how, forward, epsilon: see `inner_products`; beta ... keep_labels: see `solve`.
    scope: the parameters whose step is looked at: "all", "last_block" (the last child of the model
        that is more than one layer, and what follows it), "head" (the last nn.Linear, in closed
        form), or a list of names or prefixes of names.
    optimizer: look at its own step, `optimizer_direction`, not at plain SGD's.
    sign: -1 takes Eq. (9) as printed, without the minus of the cross-entropy.
    centre: subtract from Pi_z its mean over the batch, so that the sample and not the common mode
        of the gradient picks the label.
    normalise: divide Pi_ik by |e_k - p_i|, the size of the logits' gradient for candidate label k.
    unit_scale: divide Pi by its root mean square over the batch, so that beta, temperature, gumbel
        and slope mean the same for every model at every stage.
    shrink: multiply Pi by the correlation (at least 0) over the batch of the scores Pi_i . y_aug_i
        from two halves of the validation batch; val_loss is then the pair of their losses.
    momentum: keep an exponential average of the validation gradient with this factor.
    every: renew the validation gradient only every so many calls.
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
    _gradients: list[Direction] = field(default_factory=list, init=False, repr=False)
    _calls: int = field(default=0, init=False, repr=False)

    def __post_init__(self):
        _check_choice("space", self.space, SPACES)
        _check_choice("how", "head" if self.scope == "head" else self.how, HOWS)
        _check_choice("weight_rule", self.weight_rule, WEIGHT_RULES)
        if not self.temperature > 0:
            raise ValueError(f"temperature: a number > 0 is expected, got {self.temperature}")
        self._scope = scope_names(self.model, self.scope)

    def __call__(self, x_aug, y_aug: Tensor, val_loss, ride: bool = False) -> Refined:
        """Refine one augmented batch.

        x_aug: what the model takes; y_aug: (B,) int64 or (B, K) rows on the simplex.
        val_loss: () scalar, the pair of scalars that `shrink` needs, or a function that returns
            it and is called only when the gradient is renewed.
        ride: the pass at theta is the caller's training pass. refined.logits carry its graph,
            batch-norm statistics and the random state move as by model(x_aug), and the step costs
            one forward pass less.
        """
        directions = [self._direction(g) for g in self._renew(val_loss)]
        how = "head" if self.scope == "head" else self.how
        logits, tangents = _tangents(
            self.model, x_aug, directions, how, self.forward, self.epsilon, ride
        )
        parts = [self._calibrate(-self.sign * t, logits) for t in tangents]
        pi = sum(parts) / len(parts)
        labels = as_soft_labels(y_aug, *pi.shape).to(pi)
        reliability = pi.new_ones(())
        if self.unit_scale:
            pi = pi / _batch_mean(pi.square().mean(1)).sqrt().clamp_min(1e-30)
        if self.shrink:
            reliability = _correlation(*((part * labels).sum(1) for part in parts)).clamp_min(0)
            pi = reliability * pi
        weights, y = solve(
            pi, labels, self.beta, self.temperature, self.gumbel, self.weight_rule, self.generator,
            slope=self.slope, keep_labels=self.keep_labels,
        )  # fmt: skip
        return Refined(weights, y, pi, logits, reliability)

    def _renew(self, val_loss) -> list[Direction]:
        if self._calls % self.every == 0:
            losses = val_loss() if callable(val_loss) else val_loss
            losses = [losses] if isinstance(losses, Tensor) else list(losses)
            if len(losses) != 1 + self.shrink:
                raise ValueError(
                    f"val_loss: {1 + self.shrink} loss(es) are expected, got {len(losses)}"
                )
            new = [
                validation_gradient(self.model, loss, retain_graph=i + 1 < len(losses))
                for i, loss in enumerate(losses)
            ]
            m = self.momentum if self._gradients else 0.0
            self._gradients = [
                {n: m * o[n] + (1 - m) * g[n] for n in g} if m else g
                for o, g in zip(self._gradients or new, new, strict=True)
            ]
        self._calls += 1
        return self._gradients

    def _direction(self, gradient: Direction) -> Direction:
        direction = {n: gradient[n] for n in self._scope}
        if self.optimizer is None:
            return direction
        return optimizer_direction(self.model, direction, self.optimizer)

    def _calibrate(self, pi: Tensor, logits: Tensor) -> Tensor:
        if self.centre:
            pi = pi - _batch_mean(pi)
        pi = _in_space(pi, logits, self.space)
        if self.normalise:
            p = logits.detach().float().softmax(1)
            gap = 1 - 2 * p + p.square().sum(1, keepdim=True)
            pi = pi / gap.clamp_min(1e-6).sqrt()
        return pi


def scope_names(model: nn.Module, scope: str | Sequence[str]) -> list[str]:
    """Names of the trainable parameters in a scope; ValueError if there are none."""
    bare = _bare(model)
    trainable = [n for n, p in bare.named_parameters() if p.requires_grad]
    if isinstance(scope, str):
        _check_choice("scope", scope, ("all", "last_block", "head"))
        prefixes = {"all": lambda: [""], "last_block": lambda: _last_block(bare),
                    "head": lambda: [_head(bare)[0]]}[scope]()  # fmt: skip
    else:
        prefixes = list(scope)
    names = [
        n for n in trainable if any(not q or n == q or n.startswith(f"{q}.") for q in prefixes)
    ]
    if not names:
        raise ValueError(f"scope: no trainable parameter is in {scope!r}; there are {trainable[:5]}")
    return names


def _head(model: nn.Module) -> tuple[str, nn.Linear]:
    linears = [(n, m) for n, m in model.named_modules() if isinstance(m, nn.Linear)]
    if not linears:
        raise ValueError("scope: 'head' needs a model with an nn.Linear")
    return linears[-1]


def _last_block(model: nn.Module) -> list[str]:
    children = [(n, m) for n, m in model.named_children() if any(True for _ in m.parameters())]
    blocks = [i for i, (_, m) in enumerate(children) if any(True for _ in m.children())]
    return [n for n, _ in children[blocks[-1] if blocks else -1 :]]


def _bare(model: nn.Module) -> nn.Module:
    """The module inside DistributedDataParallel's and torch.compile's wrappers."""
    while isinstance(model, nn.parallel.DistributedDataParallel) or hasattr(model, "_orig_mod"):
        model = getattr(model, "_orig_mod", None) or model.module
    return model


def _ranks() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def _over_ranks(x: Tensor) -> Tensor:
    """Sum over the ranks of a process group."""
    if _ranks() > 1:
        dist.all_reduce(x := x.clone())
    return x


def _batch_mean(x: Tensor) -> Tensor:
    """Mean over the batch of all ranks: (B, ...) -> (...)."""
    return _over_ranks(x.sum(0)) / _over_ranks(x.new_tensor(float(len(x))))


def _correlation(a: Tensor, b: Tensor) -> Tensor:
    """Pearson's correlation over the batch of all ranks: (B,), (B,) -> (), 0 where undefined."""
    a, b = a - _batch_mean(a), b - _batch_mean(b)
    spread = (_batch_mean(a.square()) * _batch_mean(b.square())).sqrt()
    return _batch_mean(a * b) / spread.clamp_min(1e-30)


_generators: dict[torch.device, torch.Generator] = {}


def _noise(device: torch.device) -> torch.Generator:
    if device not in _generators:
        _generators[device] = torch.Generator(device).manual_seed(torch.initial_seed())
    return _generators[device]


def _check_choice(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name}: one of {', '.join(allowed)} is expected, got {value!r}")


def _check_directions(named: Direction, directions: list[Direction]) -> None:
    for d in directions:
        if unknown := [n for n in d if n not in named]:
            raise ValueError(f"direction: unknown parameters {unknown[:3]}; see named_parameters()")
        if wrong := [n for n in d if d[n].shape != named[n].shape]:
            raise ValueError(
                f"direction: {wrong[0]} has shape {tuple(d[wrong[0]].shape)}, "
                f"{tuple(named[wrong[0]].shape)} is expected"
            )
        if not d or not torch.stack([t.isfinite().all() for t in d.values()]).all():
            raise ValueError("direction: finite values for at least one parameter are expected")
