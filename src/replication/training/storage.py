"""Where training samples are kept: on the GPU if they fit, otherwise in the files they are from."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

SHARE = 0.5  # of a GPU's free memory, for all seeds that are trained side by side


def mapped(path: Path) -> np.ndarray:
    """The array of a .npy file, read where it is indexed. ValueError for pickled objects."""
    return np.load(path, mmap_mode="c", allow_pickle=False)


@dataclass(frozen=True)
class Joined:
    """Tensors on the CPU as one, end to end along an axis, read only where they are indexed.

    parts: (n_p, ...) with axis 0, or (V, n_p, ...) with axis 1, and alike in their other sizes.
    """

    parts: tuple[Tensor, ...]
    axis: int

    @property
    def device(self) -> torch.device:
        return self.parts[0].device

    def __len__(self) -> int:
        return sum(map(len, self.parts)) if self.axis == 0 else len(self.parts[0])

    def __getitem__(self, index) -> Tensor:
        """Rows at indices i (B,), with axis 1 at the pair of v (B,) and i (B,): (B, ...)."""
        *views, i = index if self.axis else (index,)
        first, start = self.parts[0], 0
        rows = first.new_empty(len(i), *first.shape[self.axis + 1 :])
        for part in self.parts:
            stop = start + part.shape[self.axis]
            here = (start <= i) & (i < stop)
            rows[here] = part[*(v[here] for v in views), i[here] - start]
            start = stop
        return rows


def hold(
    arrays: Sequence[np.ndarray], device: torch.device, workers: int, axis: int = 0
) -> Tensor | Joined:
    """Arrays end to end along an axis, on the device.

    Memory-mapped ones that take more than SHARE / workers of a GPU's free memory stay where they
    are, for batches to be gathered from; so do all on a CPU. What is no array reads its files when
    it is indexed, and is joined by +.
    """
    if not isinstance(arrays[0], np.ndarray):
        return reduce(add, arrays)
    parts = [torch.from_numpy(array) for array in arrays]
    on_disk = all(isinstance(array, np.memmap) for array in arrays)
    if on_disk and sum(part.nbytes for part in parts) > SHARE / workers * _free(device):
        return parts[0] if len(parts) == 1 else Joined(tuple(parts), axis)
    sizes = [part.shape[axis] for part in parts]
    shape = (*parts[0].shape[:axis], sum(sizes), *parts[0].shape[axis + 1 :])
    whole = torch.empty(shape, dtype=parts[0].dtype, device=device)
    for place, part in zip(whole.split(sizes, axis), parts, strict=True):
        place.copy_(part)
    return whole


def _free(device: torch.device) -> int:
    """Bytes of device memory; none on a CPU, where the system's page cache does the same."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0
