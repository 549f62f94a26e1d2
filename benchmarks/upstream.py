"""Images per second of the batched RandAugment and of torchvision's, one image at a time.

    python benchmarks/upstream.py [--out FOLDER]

prints a table and, with --out, writes upstream.csv. Images are 28 x 28, uint8, in batches of 128.
Every path runs once per round, so that all meet the same load, and the medians over the rounds are
reported. torchvision's transform is called on each PIL image or tensor in this process, and on each
PIL image in the workers of a data loader, one for each core. The batched path runs with as many
threads as torch takes by default, and with one.
"""

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter

import pandas as pd
import torch
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from replication import upstream
from replication.files import write_text
from replication.settings import upstreams

BATCH, SIDE = 128, 28
LOADER_BATCHES = 20
OURS = "batched"


class Augmented(Dataset):
    """PIL images, augmented and converted to tensors one at a time."""

    def __init__(self, images: list):
        self.images = images
        self.transform = v2.Compose([v2.RandAugment(), v2.PILToTensor()])

    def __len__(self) -> int:
        return LOADER_BATCHES * BATCH

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.transform(self.images[index % BATCH])


def paths(channels: int) -> dict[str, tuple[Callable[[], object], int]]:
    """What to call and how many images it augments, by name."""
    shape = (BATCH, channels, SIDE, SIDE)
    images = torch.randint(
        256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    labels = torch.zeros(BATCH, dtype=torch.long)
    pil = Augmented([functional.to_pil_image(image) for image in images])
    randaugment = upstream.build(upstreams.RandAugment(kind="randaugment"), classes=10)
    transform, generator = v2.RandAugment(), torch.Generator()
    loader = DataLoader(
        pil, BATCH, num_workers=os.cpu_count() or 1, persistent_workers=True, prefetch_factor=4
    )

    def in_one_thread() -> None:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        randaugment(images, labels, generator)
        torch.set_num_threads(threads)

    return {
        OURS: (lambda: randaugment(images, labels, generator), BATCH),
        "batched, one thread": (in_one_thread, BATCH),
        "PIL images": (lambda: torch.stack([pil[i] for i in range(BATCH)]), BATCH),
        "tensor images": (lambda: torch.stack([transform(image) for image in images]), BATCH),
        "PIL images, loader": (lambda: list(loader), len(pil)),
    }


def measure(channels: int, rounds: int) -> list[dict[str, object]]:
    runs = paths(channels)
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds + 1):
        for name, (run, images) in runs.items():
            start = perf_counter()
            run()
            seconds[name].append((perf_counter() - start) / images)
    medians = {name: median(times[1:]) for name, times in seconds.items()}
    return [
        {
            "path": name,
            "channels": channels,
            "images_per_second": round(1 / medians[name]),
            "batched_is_faster_by": round(medians[name] / medians[OURS], 1),
        }
        for name in runs
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, help="folder for upstream.csv")
    parser.add_argument("--rounds", type=int, default=25)
    args = parser.parse_args()
    print(
        f"torch {torch.__version__}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, "
        f"batches of {BATCH}, medians of {args.rounds} rounds"
    )
    rows = [row for channels in (1, 3) for row in measure(channels, args.rounds)]
    print(f"{'channels':>8}  {'path':<20}{'images/s':>10}{'ratio':>8}")
    for row in rows:
        print(
            f"{row['channels']:>8}  {row['path']:<20}{row['images_per_second']:>10,}"
            f"{row['batched_is_faster_by']:>8}"
        )
    if args.out:
        write_text(args.out / "upstream.csv", pd.DataFrame(rows).to_csv(index=False))


if __name__ == "__main__":
    main()
