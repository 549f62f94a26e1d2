"""Where an interrupted cell left off: finished seeds, and the state of a seed in progress."""

import hashlib
import json
import shutil
from pathlib import Path

import torch

from replication.stages.files import replacing, write_json


class Checkpoints:
    """Files of one cell, in a folder named by a hash of everything that its results depend on.

    A changed setting, data file or line of the training code therefore never resumes from them.
    """

    def __init__(self, root: Path, identity: dict):
        text = json.dumps(identity, sort_keys=True)
        self.folder = root / hashlib.sha256(text.encode()).hexdigest()[:16]

    def finished(self, seed: int) -> dict | None:
        path = self.folder / f"seed-{seed}.json"
        return json.loads(path.read_text()) if path.exists() else None

    def finish(self, seed: int, result: dict) -> None:
        write_json(self.folder / f"seed-{seed}.json", result)
        (self.folder / f"seed-{seed}.pt").unlink(missing_ok=True)

    def save(self, seed: int, state: dict) -> None:
        with replacing(self.folder / f"seed-{seed}.pt") as temporary:
            torch.save(state, temporary)

    def restore(self, seed: int) -> dict | None:
        """The last saved state. Tensors and plain values only: pickled code is refused."""
        path = self.folder / f"seed-{seed}.pt"
        return torch.load(path, map_location="cpu", weights_only=True) if path.exists() else None

    def discard(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
