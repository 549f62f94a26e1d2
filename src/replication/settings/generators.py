"""Diffusion models that make and edit images, and how they came by their weights."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from replication.settings.fields import Count, Distinct, Index, Name, Positive, Share, Strict

Channels = Annotated[list[Annotated[int, Field(ge=8, multiple_of=8)]], Field(min_length=1)]
Revision = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
"""A commit of a repository, which no later push changes."""


class Denoising(Strict):
    """Training on a data set's training split. dropped: share of conditions left out, which
    guidance needs."""

    patience: ClassVar[None] = None
    epochs: Count
    batch_size: Count
    learning_rate: Positive
    seed: Index
    dropped: Share = 0.1


class ClassConditional(Strict):
    """A small UNet of diffusers', trained here on classes and domains.

    channels: of its levels, each but the first on half the side. layers: of a level. domains: of
    the data set, that training images are drawn in; a prompt is one of them.
    """

    kind: Literal["class-conditional"]
    channels: Channels
    layers: Count = 1
    domains: Annotated[list[Name], Distinct, Field(min_length=1)]
    training: Denoising


class Adaptation(Denoising):
    """Fine-tuning of a text-conditional model on a data set: low-rank layers in the attention, or
    all of its UNet. template: the prompt of a training image, {} for its class."""

    method: Literal["lora", "full"]
    rank: Count = 4
    template: Annotated[str, Field(pattern=r"^[^{}]*\{\}[^{}]*$")]


class Published(Strict):
    """One of diffusers' pipelines, of a hub or in a folder.

    repository: its name on the hub, or a folder. revision: of the hub's, and null of a folder.
    side: pixels that it works at.
    """

    repository: str
    revision: Revision | None
    side: Annotated[int, Field(ge=8, multiple_of=8)] = 512


class StableDiffusion(Published):
    """From prompts, and from images by partial noising. training: its fine-tuning, if any."""

    kind: Literal["stable-diffusion"]
    training: Adaptation | None = None


class InstructPix2Pix(Published):
    """From images and instructions (Brooks et al. 2023)."""

    training: ClassVar[None] = None
    kind: Literal["instruct-pix2pix"]


AnyGenerator = Annotated[
    ClassConditional | StableDiffusion | InstructPix2Pix, Field(discriminator="kind")
]
