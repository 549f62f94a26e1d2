"""What is known of a cell's seeds: the finished ones, and the state of one in progress."""

import warnings
from pathlib import Path
from typing import Any

import torch

from replication import cells
from replication.cells import Seed
from replication.files import hash_of_json, replacing
from replication.training import ranks


class Checkpoints:
    """Files in a folder named by a hash of everything that the figures of a seed depend on.

    A changed setting, data file, line of the training code, version or processor therefore never
    finds them, and what comes back to the same is there again at once. Finished seeds stay, so
    that more seeds train only the new ones; the folder may be deleted at any time. Of several
    processes that train together, the first writes.
    """

    def __init__(self, root: Path, identity: dict):
        self.folder = root / hash_of_json(identity)[:16]

    def finished(self, seed: int) -> Seed | None:
        path = self.folder / f"seed-{seed}.json"
        if not path.exists():
            return None
        try:
            found = cells.read(Seed, path)
            return found if found.seed == seed else _ignored(path, f"it is of seed {found.seed}")
        except (ValueError, OSError) as error:
            return _ignored(path, error)

    def finish(self, result: Seed) -> None:
        if ranks.rank():
            return
        cells.write(self.folder / f"seed-{result.seed}.json", result)
        self._state(result.seed).unlink(missing_ok=True)

    def save(self, seed: int, state: dict) -> None:
        if ranks.rank():
            return
        with replacing(self._state(seed)) as temporary:
            torch.save(state | {"seed": seed}, temporary)

    def restore(self, seed: int) -> dict[str, Any] | None:
        """The last saved state. Tensors and plain values only: pickled code is refused.

        A damaged file, or one of another seed, is passed over with a warning.
        """
        path = self._state(seed)
        if not path.exists():
            return None
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # torch.load raises what unpickling and unzipping raise
            return _ignored(path, error)
        if not isinstance(state, dict) or state.get("seed") != seed or "epoch" not in state:
            return _ignored(path, "it holds no state of this seed")
        return state

    def _state(self, seed: int) -> Path:
        return self.folder / f"seed-{seed}.pt"


def _ignored(path: Path, why: object) -> None:
    first = str(why).splitlines()[0] if str(why) else type(why).__name__
    warnings.warn(f"{path}: passed over, the seed starts afresh ({first})", stacklevel=3)
