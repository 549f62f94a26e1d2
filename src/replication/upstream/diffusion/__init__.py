"""Upstreams by diffusion models, on diffusers: images that are made before training.

`requests` says which images, each with a seed of its own; `unet` and `pipelines` make them, from
classes and domains or from prompts; `folder` writes them as they come.
"""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Protocol

from torch import Tensor

from replication.files import hash_of
from replication.upstream.diffusion.requests import Request

NEEDED = {
    "class-conditional": ("diffusers",),
    "stable-diffusion": ("diffusers", "transformers", "peft"),
    "instruct-pix2pix": ("diffusers", "transformers"),
}
"""Packages, by kind of diffusion model."""


class Maker(Protocol):
    """What makes images. revision: of its weights, for the manifest."""

    revision: str

    def make(self, requests: Sequence[Request], sources: Tensor) -> Tensor:
        """Sources (b, C, H, W) uint8, the images that requests are made from -> images alike.

        An image depends on its own request and source; others beside it change rounding alone.
        """


def code(kind: str) -> str:
    """A hash of the code that the images of a kind of model depend on."""
    maker = "unet" if kind == "class-conditional" else "pipelines"
    return hash_of(Path(__file__).with_name(f"{name}.py") for name in ("requests", maker))


def require(kind: str) -> None:
    """ValueError, naming package and remedy, if one is missing that a kind of model needs."""
    for package in NEEDED[kind]:
        try:
            import_module(package)
        except ImportError as error:
            raise ValueError(
                f"{kind} needs the package {package}: pip install '.[diffusion]'"
            ) from error
