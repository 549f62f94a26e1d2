"""What a frozen network makes of samples and of their copies, computed once and kept.

Below the checkpoints, in folders named by a hash of what they are made from. Of samples,
`<split>.npy` (n, D) float32; of augmented copies, the files of stored views with (V, n, D) float32
for inputs. `features.json`, written last, has what they are made from and each file's checksum.
"""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from replication.data.dataset import Dataset, Split
from replication.files import checksums, hash_of, hash_of_json, read_json, replacing, write_json
from replication.models.images import pretrained
from replication.settings import Recipe
from replication.settings.models import Head
from replication.training.copies import PARTS, copies
from replication.training.storage import mapped

MARKER = "features.json"
BATCH = 128
PACKAGE = Path(__file__).parents[1]

Arrays = Iterator[tuple[str, np.ndarray]]
"""Names of files, without suffix, and what is in them."""


def kept(root: Path, origin: dict, make: Callable[[], Arrays]) -> Path:
    """The folder of arrays that are made from `origin`, which are made if they are not there.

    A folder whose files are of another origin or damaged is made again, with a warning. Several
    processes may make it at once: each file is replaced as a whole, by one with the same content.
    """
    folder = root / hash_of_json(origin)[:16]
    if (folder / MARKER).exists():
        if _sound(folder, origin):
            return folder
        warnings.warn(f"{folder}: stale or damaged features, made again", stacklevel=2)
        (folder / MARKER).unlink(missing_ok=True)  # another process may have noticed it, too
    made = set()
    for name, array in make():
        with replacing(folder / f"{name}.npy") as temporary:
            np.save(temporary, array, allow_pickle=False)
        made.add(f"{name}.npy")
    for name in _arrays(folder).keys() - made:
        (folder / name).unlink(missing_ok=True)
    write_json(folder / MARKER, {"origin": origin, "files": _arrays(folder)})
    return folder


def _sound(folder: Path, origin: dict) -> bool:
    try:
        return read_json(folder / MARKER) == {"origin": origin, "files": _arrays(folder)}
    except (FileNotFoundError, ValueError):
        return False


def _arrays(folder: Path) -> dict[str, str]:
    return {name: md5 for name, md5 in checksums(folder).items() if name != MARKER}


def made_from(model: Head) -> dict:
    """The network and the code that features depend on."""
    parts = ("models/images", "upstream/images", "data/images")
    code = [Path(__file__), Path(__file__).with_name("copies.py"), PACKAGE / "upstream/planted.py"]
    code += [path for part in parts for path in (PACKAGE / part).rglob("*.py")]
    return {
        "model": model.model_dump(exclude={"learning_rate", "copies"}),
        "weights": pretrained.checksum(model),
        "code": hash_of(code),
    }


class Eye:
    """A frozen network on a device: images (n, C, H, W) uint8 -> features (n, D) float32."""

    def __init__(self, model: Head, prepare: Callable[[Tensor], Tensor], device: torch.device):
        self.prepare, self.device = prepare, device
        self.network: nn.Module = pretrained.backbone(model).to(device)
        self.network = self.network.to(memory_format=torch.channels_last)

    def __call__(self, inputs: Tensor) -> Tensor:
        with torch.no_grad():
            parts = (self.prepare(part.to(self.device)) for part in inputs.split(BATCH))
            return torch.cat([self.network(part).float().cpu() for part in parts])


def of_samples(eye: Eye, dataset: Dataset) -> Arrays:
    """Of every split."""
    for name, split in splits(dataset).items():
        yield name, eye(torch.from_numpy(np.asarray(split.inputs))).numpy()


def of_copies(eye: Eye, recipe: Recipe, dataset: Dataset) -> Arrays:
    """Of the splits that methods train on."""
    for part in PARTS:
        shape, arrays = (recipe.views, len(getattr(dataset, part))), {}
        for view, i, fields in copies(recipe, dataset, part):
            for field, value in (fields | {"inputs": eye(fields["inputs"])}).items():
                if field not in arrays:
                    arrays[field] = np.empty((*shape, *value.shape[1:]), np.float32)
                arrays[field][view, i] = value.numpy()
        yield from ((f"{part}_{field}", array) for field, array in arrays.items())


def read(dataset: Dataset, folder: Path) -> Dataset:
    """A data set with the features of its samples in place of its inputs."""
    found = {
        name: Split(mapped(folder / f"{name}.npy"), split.labels)
        for name, split in splits(dataset).items()
    }
    return with_splits(dataset, found)


def with_splits(dataset: Dataset, found: dict[str, Split]) -> Dataset:
    """The same with splits of features, by the names of their files."""
    return replace(
        dataset,
        **{part: found[part] for part in PARTS},
        tests={name: found[f"test-{name}"] for name in dataset.tests},
        prepare=_as_they_are,
    )


def splits(dataset: Dataset) -> dict[str, Split]:
    """Every split of a data set by the name of its file."""
    tests = {f"test-{name}": split for name, split in dataset.tests.items()}
    return {part: getattr(dataset, part) for part in PARTS} | tests


def _as_they_are(features: Tensor) -> Tensor:
    return features
