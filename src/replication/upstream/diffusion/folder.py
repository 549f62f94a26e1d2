"""Made images in a folder: written as they come, taken up again after a kill, with a manifest.

A record stands in a journal as soon as its image is there whole, and in `manifest.json` when all
are. Both say of each image what it was made from and its SHA-256, so that one that is missing,
damaged or of other settings is found and made again, to the same bytes on the same machine: images
are made in the same batches each time, and only a batch that memory has no room for is halved.
"""

import fcntl
import hashlib
import io
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from replication.files import hash_of_json, read_json, replacing, writable, write_json
from replication.upstream.diffusion import Maker
from replication.upstream.diffusion.requests import Request

MANIFEST = "manifest.json"
Record = dict[str, Any]


@dataclass(frozen=True)
class Folder:
    """The images of a list of requests.

    origin: what they are made from besides, as settings of upstream and generator, which stands in
    the manifest; images of another origin are made again. batch: images that are made at a time.
    """

    path: Path
    requests: Sequence[Request]
    origin: Record
    batch: int

    def fill(
        self,
        maker: Callable[[], Maker],
        sources: Callable[[Sequence[Request]], Tensor],
        tick: Callable[[int], None] = lambda count: None,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        """Make what is missing, and write the manifest when nothing is.

        maker: called if there is something to make. sources: the images (b, C, H, W) uint8 that
        requests are made from. tick: told how many more are there. share: (r, n) for the r-th of n
        processes, which makes every n-th batch.
        """
        with together(self.path) as alone:
            there, made = self._there(), None
            rank, count = share
            batches = [
                self.requests[i : i + self.batch] for i in range(0, len(self.requests), self.batch)
            ]
            for batch in batches[rank::count]:
                if not all(request.file in there for request in batch):
                    made = made or maker()
                    for request, image in self._made(made, batch, sources(batch)):
                        there[request.file] = self._write(request, image, made.revision, rank)
                tick(len(batch))
            if len(there := there if count == 1 else self._there()) == len(self.requests):
                records = [there[request.file] for request in self.requests]
                write_json(self.path / MANIFEST, {"origin": self.origin, "images": records})
                if alone():
                    self._tidy({self.path / name for name in (MANIFEST, *there)})

    def _tidy(self, wanted: set[Path]) -> None:
        """Remove journals, and what a kill or other settings left."""
        for path in self.path.rglob("*"):
            if path.is_file() and path not in wanted:
                path.unlink(missing_ok=True)

    def records(self) -> list[Record]:
        """Of every image, in the order of the requests. ValueError if one is missing or damaged."""
        there = self._there()
        if missing := [r.file for r in self.requests if r.file not in there]:
            raise ValueError(
                f"{self.path / missing[0]}: missing, damaged or of other settings, as "
                f"{len(missing)} of {len(self.requests)} images are; `dvc repro generate` makes "
                "them again"
            )
        return [there[request.file] for request in self.requests]

    def images(self) -> Iterator[np.ndarray]:
        """(C, H, W) uint8, in the order of the requests."""
        for request in self.requests:
            with Image.open(self.path / request.file) as picture:
                pixels = np.asarray(picture)
            yield pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)

    def _made(self, maker: Maker, batch: Sequence[Request], sources: Tensor) -> Iterator:
        """Requests with their images; of a batch that there is no room for, half by half."""
        images = None
        try:
            images = maker.make(batch, sources)
        except torch.cuda.OutOfMemoryError as error:
            if len(batch) == 1:
                raise MemoryError(
                    "no room on the GPU for one image; take a smaller `side` of the generator"
                ) from error
        if images is not None:
            yield from zip(batch, images, strict=True)
            return
        torch.cuda.empty_cache()  # here, since an error that is handled keeps what failed alive
        half = len(batch) // 2
        yield from self._made(maker, batch[:half], sources[:half])
        yield from self._made(maker, batch[half:], sources[half:])

    def _write(self, request: Request, image: Tensor, revision: str, rank: int) -> Record:
        pixels = image[0] if len(image) == 1 else image.permute(1, 2, 0)
        written = io.BytesIO()
        Image.fromarray(pixels.contiguous().numpy()).save(written, "PNG")
        content = written.getvalue()
        with replacing(self.path / request.file) as temporary:
            temporary.write_bytes(content)
        record = asdict(request) | {
            "file": request.file,
            "revision": revision,
            "sha256": hashlib.sha256(content).hexdigest(),
        }
        journal = self.path / f".journal-{rank}"
        line = json.dumps({"origin": self._origin, "image": record})
        with writable(journal), journal.open("a", encoding="utf-8") as file:
            file.write(f"\n{line}")  # after one that a kill or a full disk cut off
        return record

    @property
    def _origin(self) -> str:
        """Of journals, which are read line by line."""
        return hash_of_json(self.origin)

    def _there(self) -> dict[str, Record]:
        """By file, the records of whole images that were made from these requests and origin."""
        wanted = {request.file: asdict(request) for request in self.requests}
        there = {}
        for record in self._recorded():
            name = record.get("file") if isinstance(record, dict) else None
            expected = wanted.get(name) if isinstance(name, str) else None
            if expected is None or any(record.get(k) != v for k, v in expected.items()):
                continue
            path = self.path / name
            if path.is_file() and _sha256(path) == record.get("sha256"):
                there[name] = record
        return there

    def _recorded(self) -> Iterator[Any]:
        """What stands where records of this origin do; in a damaged file that may be anything."""
        manifest = self.path / MANIFEST
        if manifest.exists():
            try:
                content = read_json(manifest)
            except ValueError:  # damaged, so its images are made again
                content = {}
            if isinstance(content, dict) and content.get("origin") == self.origin:
                images = content.get("images")
                yield from images if isinstance(images, list) else ()
        for journal in self._journals():
            for line in journal.read_text("utf-8", "replace").splitlines():
                try:
                    entry = json.loads(line)
                except ValueError:  # the last one, cut off by a kill
                    continue
                if isinstance(entry, dict) and entry.get("origin") == self._origin:
                    yield entry.get("image")

    def _journals(self) -> list[Path]:
        return sorted(self.path.glob(".journal-*"))


@contextmanager
def together(folder: Path) -> Iterator[Callable[[], bool]]:
    """Work in a folder that other processes may work in. Yields what says if they are done.

    Of those that ask, the last is told so; on a file system without locks all are.
    """
    with writable(folder):
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)

    def locked(how: int) -> bool:
        try:
            fcntl.flock(handle, how)
        except BlockingIOError:
            return False
        except OSError:  # no locks there
            return True
        return True

    try:
        locked(fcntl.LOCK_SH)
        yield lambda: locked(fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(handle)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
