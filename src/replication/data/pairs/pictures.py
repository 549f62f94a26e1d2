"""Images that are read from their files when they are indexed."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from open_clip.transform import image_transform
from torch import Tensor

from replication.data.images.pictures import decode

THREADS = 16


class Pictures:
    """Files as a tensor (n, 3, S, S) uint8, by open_clip's resizing and central crop.

    Indexed with (B,) int64, on the CPU. DataError, naming the file, for one that is no picture.
    """

    device = torch.device("cpu")

    def __init__(self, paths: Sequence[Path], side: int):
        self.paths, self.side = list(paths), side
        resize, crop, *_ = image_transform(side, is_train=False).transforms
        self.cut = lambda picture: crop(resize(picture))

    def __len__(self) -> int:
        return len(self.paths)

    def __add__(self, other: "Pictures") -> "Pictures":
        return Pictures(self.paths + other.paths, self.side)

    def __getitem__(self, index: Tensor) -> Tensor:
        with ThreadPoolExecutor(THREADS) as pool:
            read = list(pool.map(self._read, index.tolist()))
        shape = 0, self.side, self.side, 3
        pixels = np.stack(read) if read else np.empty(shape, np.uint8)
        return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()

    def _read(self, i: int) -> np.ndarray:
        path = self.paths[i]
        try:
            content = path.read_bytes()
        except OSError as error:
            raise FileNotFoundError(f"{path}: {error.strerror}; the data set names it") from error
        return np.asarray(self.cut(decode(content, str(path)).convert("RGB")))
