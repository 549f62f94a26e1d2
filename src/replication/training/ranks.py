"""Several processes that train one model, as torchrun starts them; one process is a case of it.

Each encodes its share of a batch. Embeddings are gathered, so that the loss is that of the whole
batch, and gradients are summed before each step: weights stay the same everywhere.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor


def count() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    return dist.get_rank() if count() > 1 else 0


@contextmanager
def joined() -> Iterator[None]:
    """In the process group of torchrun, if it has started this process."""
    if int(os.environ.get("WORLD_SIZE", 1)) == 1:
        yield
        return
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if cuda else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def share(i: Tensor) -> Tensor:
    """Of (B,) indices, those of this rank, as many as of every other: up to count() - 1 are left
    out. ValueError if there are fewer than ranks."""
    if count() == 1:
        return i
    if len(i) < count():
        raise ValueError(f"batch_size: {count()} or more are expected, one a process, got {len(i)}")
    return i[: len(i) // count() * count()].tensor_split(count())[rank()]


def gather(x: Tensor) -> Tensor:
    """(b, ...) of this rank -> (B, ...) of all, in their order; every rank's gradient comes back.

    In forward mode, tangents are gathered as well.
    """
    return x if count() == 1 else _Gather.apply(x)


def normalised(weights: Tensor) -> Tensor:
    """(b,) weights over their sum on all ranks; as they are in one process, or if all are 0."""
    if count() == 1:
        return weights
    dist.all_reduce(total := weights.sum())
    return weights / torch.where(total > 0, total, 1)


def sum_gradients(optimizer: torch.optim.Optimizer) -> None:
    """Before each step, add up the gradients of all ranks."""
    if count() == 1:
        return

    def add(optimizer, *_) -> None:
        for p in (p for group in optimizer.param_groups for p in group["params"]):
            p.grad = torch.zeros_like(p) if p.grad is None else p.grad
            dist.all_reduce(p.grad)

    optimizer.register_step_pre_hook(add)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        return _gathered(x)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        dist.all_reduce(gradient := gradient.contiguous().clone())
        return gradient.tensor_split(count())[rank()]

    @staticmethod
    def jvp(ctx, tangent: Tensor) -> Tensor:
        return _gathered(tangent)


def _gathered(x: Tensor) -> Tensor:
    parts = [torch.empty_like(x) for _ in range(count())]
    dist.all_gather(parts, x.contiguous())
    return torch.cat(parts)
