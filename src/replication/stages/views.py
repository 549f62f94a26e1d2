"""`python -m replication.stages.views PROFILE EXPERIMENT DATASET UPSTREAM`: stored views.

For train and validation split each: `<split>_inputs.npy` (V, n, C, H, W) uint8 and
`<split>_labels.npy` (V, n, K) float32, where view v of sample i is its v-th augmentation, and for
upstreams that crop `<split>_visible.npy` (V, n) float32, the fraction of the image that is left;
`views.json` says what they were made from. An upstream that looks at the network is drawn in each
training step, as all are where the profile has 0 views: its folder holds `views.json` alone.
"""

import math
from pathlib import Path

import numpy as np

from replication import settings
from replication.files import checksums, writable, write_json
from replication.report.folders import whole
from replication.stages import clock
from replication.stages.wanted import planned, wanted


def main() -> None:
    everything, named = wanted(__doc__, "experiment", "dataset", "upstream")
    recipe = planned(settings.methods(everything), everything, named)[0].recipe

    from replication.training.cell import SETS, VIEWS, views_of

    with whole(VIEWS.joinpath(everything.profile.profile, *named.values())) as folder:
        if recipe.views:
            store(recipe, named["dataset"], SETS, folder)
        write_json(folder / "views.json", views_of(recipe, checksums(SETS / named["dataset"])))
    clock.record(everything.profile.profile, "views", named)


def store(recipe: settings.Recipe, name: str, sets: Path, folder: Path) -> None:
    """Write the views of a data set into a folder."""
    import torch

    from replication import data
    from replication.training.copies import PARTS, copies

    torch.set_num_threads(1)  # small operations; more threads cost more than they bring
    dataset = data.load(name, recipe.dataset, sets, 0)
    for part in PARTS:
        split = getattr(dataset, part)
        shape, sample = (recipe.views, len(split)), np.asarray(split.inputs).shape[1:]
        views = {
            "inputs": array(folder / f"{part}_inputs.npy", np.uint8, *shape, *sample),
            "labels": array(folder / f"{part}_labels.npy", np.float32, *shape, dataset.classes),
        }
        if recipe.upstream.crops:
            views["visible"] = array(folder / f"{part}_visible.npy", np.float32, *shape)
        for view, i, fields in copies(recipe, dataset, part):
            for field, value in fields.items():
                views[field][view, i] = value.numpy()
        for stored in views.values():
            stored.flush()


def array(path: Path, dtype, *shape: int) -> np.memmap:
    """A new array on disk, written before it is mapped: a full disk is an error and no crash."""
    header = {"descr": np.lib.format.dtype_to_descr(np.dtype(dtype)), "fortran_order": False}
    with writable(path), path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header | {"shape": shape})
        left = math.prod(shape) * np.dtype(dtype).itemsize
        while left:
            left -= file.write(bytes(min(left, 1 << 24)))
    return np.load(path, mmap_mode="r+", allow_pickle=False)


if __name__ == "__main__":
    main()
