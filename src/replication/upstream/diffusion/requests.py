"""Which images are asked of a diffusion model, each with all that it takes to make it again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from replication.settings.upstreams import Generated

PARTS = ("train", "validation")
"""The splits whose images are augmented."""


@dataclass(frozen=True)
class Request:
    """part, source: the split and the place in it of the image that it is made from, of which it is
    number `copy`. label: its class. prompt: as the model takes it. seed: of its noise."""

    part: str
    source: int
    copy: int
    label: int
    prompt: str
    strength: float | None
    seed: int

    @property
    def file(self) -> str:
        """Its name below the folder of all of them."""
        return f"{self.part}/{self.source:06}-{self.copy}.png"


def requests(
    settings: Generated,
    dataset: str,
    labels: Mapping[str, np.ndarray],
    names: Sequence[str],
    copies: int,
) -> list[Request]:
    """`copies` images from each image of the splits.

    labels: (n,) int64 of each split, by name. names: of classes; may be none where no prompt has
    {}. Prompt and seed of an image are drawn from the upstream's seed and the image's own place, so
    that they are the same in a longer list. ValueError for a prompt without a class's name.
    """
    prompts, found = settings.prompts[dataset], []
    strength = settings.strength[dataset] if settings.strong else None
    if not names and (templates := [p for p in prompts if "{}" in p]):
        raise ValueError(f"prompts: {templates[0]!r} asks for a class's name, {dataset} has none")
    for part in PARTS:
        for source, label in enumerate(labels.get(part, ())):
            for copy in range(copies):
                place = (settings.seed, PARTS.index(part), source, copy)
                random = np.random.default_rng(place)
                prompt = prompts[random.integers(len(prompts))]
                if names:
                    prompt = prompt.replace("{}", names[label])
                seed = int(random.integers(2**63))
                found.append(Request(part, source, copy, int(label), prompt, strength, seed))
    return found
