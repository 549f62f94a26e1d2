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
from tqdm import tqdm

from replication import settings
from replication.files import checksums, writable, write_json
from replication.report.folders import whole
from replication.stages import clock
from replication.stages.wanted import planned, wanted

CHUNK = 512


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
    import torch.nn.functional as F

    from replication import data, upstream

    torch.set_num_threads(1)  # small operations; more threads cost more than they bring
    dataset = data.load(name, recipe.dataset, sets, 0)
    augment = upstream.build(recipe.upstream, dataset.classes)
    for number, part in enumerate(("train", "validation")):
        split = getattr(dataset, part)
        generator = torch.Generator().manual_seed(number)
        inputs, labels = torch.from_numpy(np.asarray(split.inputs)), torch.from_numpy(split.labels)
        shape = (recipe.views, len(labels))
        views = array(folder / f"{part}_inputs.npy", np.uint8, *shape, *inputs.shape[1:])
        targets = array(folder / f"{part}_labels.npy", np.float32, *shape, dataset.classes)
        crops = recipe.upstream.crops
        visible = array(folder / f"{part}_visible.npy", np.float32, *shape) if crops else None
        for view in tqdm(range(recipe.views), desc=f"{recipe.upstream.kind}, {part} views"):
            for i in torch.randperm(len(labels), generator=generator).split(CHUNK):
                if crops:
                    x, left = augment.augment(inputs[i], generator)
                    y = F.one_hot(labels[i], dataset.classes)
                    visible[view, i.numpy()] = left.numpy()
                else:
                    x, y = augment(inputs[i], labels[i], generator)
                views[view, i.numpy()] = x.numpy()
                targets[view, i.numpy()] = y.numpy()
        for stored in (views, targets, *([visible] if crops else [])):
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
