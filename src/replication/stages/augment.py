"""`python -m replication.stages.augment --dataset D --upstream U --out FOLDER`: stored views.

For train and validation split each: `<split>_inputs.npy` (V, n, C, H, W) uint8 and
`<split>_labels.npy` (V, n, K) float32, where view v of sample i is its v-th augmentation, and for
upstreams that crop `<split>_visible.npy` (V, n) float32, the fraction of the image that is left;
`views.json` says what they were made from. An upstream that looks at the network is drawn in each
training step, as all are where the profile has 0 views: its folder holds what it is drawn with
alone, settings and a hash of the code, so that a change of either trains anew.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

import numpy as np
from tqdm import tqdm

from replication import settings
from replication.stages.files import checksums, hash_of, write_json

CHUNK = 512


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--upstream", required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    everything = settings.load()

    import torch
    import torch.nn.functional as F

    from replication import data, upstream

    torch.set_num_threads(1)  # small operations; more threads cost more than they bring
    run = everything.run
    source = everything.datasets[arguments.dataset]
    dataset = data.load(arguments.dataset, source, run.folder, 0)
    wanted = everything.upstreams[arguments.upstream].model_dump(mode="json")
    if not upstream.stored(wanted["kind"], run.images.views):
        code = hash_of(Path(upstream.__file__).parent.glob("*.py"))
        return write_json(arguments.out / "upstream.json", wanted | {"code": code})
    options = dict(wanted)
    augment = upstream.build(options.pop("kind"), dataset.classes, **options)

    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".views-", dir=arguments.out.parent))
    try:
        for number, name in enumerate(("train", "validation")):
            split = getattr(dataset, name)
            generator = torch.Generator().manual_seed(number)
            inputs = torch.from_numpy(split.inputs)
            labels = torch.from_numpy(split.labels)
            shape = (run.images.views, len(labels))

            def array(part, dtype, *rest, place=f"{folder}/{name}", shape=shape):
                return np.lib.format.open_memmap(f"{place}_{part}.npy", "w+", dtype, shape + rest)

            views = array("inputs", np.uint8, *inputs.shape[1:])
            targets = array("labels", np.float32, dataset.classes)
            crops = hasattr(augment, "augment")
            visible = array("visible", np.float32) if crops else None
            for view in tqdm(range(run.images.views), desc=f"{arguments.upstream}, {name} views"):
                for part in torch.randperm(len(labels), generator=generator).split(CHUNK):
                    if crops:
                        x, left = augment.augment(inputs[part], generator)
                        y = F.one_hot(labels[part], dataset.classes)
                        visible[view, part.numpy()] = left.numpy()
                    else:
                        x, y = augment(inputs[part], labels[part], generator)
                    views[view, part.numpy()] = x.numpy()
                    targets[view, part.numpy()] = y.numpy()
            views.flush()
            targets.flush()
            if crops:
                visible.flush()
        origin = {
            "dataset": source.model_dump(mode="json"),
            "upstream": wanted,
            "files": checksums(Path(run.folder) / arguments.dataset),
        }
        write_json(folder / "views.json", origin)
        shutil.rmtree(arguments.out, ignore_errors=True)
        folder.chmod(0o755)
        folder.rename(arguments.out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
