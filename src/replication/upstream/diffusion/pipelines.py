"""diffusers' pipelines of Stable Diffusion and InstructPix2Pix, one generator for each image.

Weights are safetensors alone, of a pinned revision, and no code of a repository is run.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    DDPMScheduler,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInstructPix2PixPipeline,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms.v2 import functional
from transformers import CLIPTextModel

from replication.settings.generators import (
    Adaptation,
    InstructPix2Pix,
    Published,
    StableDiffusion,
)
from replication.settings.upstreams import Generated
from replication.upstream.diffusion.requests import Request

PIPELINES: dict[str, type] = {
    "text2img": StableDiffusionPipeline,
    "img2img": StableDiffusionImg2ImgPipeline,
    "img2img-finetuned": StableDiffusionImg2ImgPipeline,
    "instructpix2pix": StableDiffusionInstructPix2PixPipeline,
}
"""By kind of upstream."""
NETWORKS: dict[str, type] = {
    "unet": UNet2DConditionModel,
    "vae": AutoencoderKL,
    "text_encoder": CLIPTextModel,
}
"""Of each pipeline, by folder."""
SHOWN = 8
"""Tensors that a message names."""


class Piped:
    """Makes the images of requests with a pipeline, at its own side, and gives them the sources'.

    pipeline: of PIPELINES, loaded.
    """

    def __init__(
        self, upstream: Generated, pipeline, side: int, revision: str, device: torch.device
    ):
        self.upstream, self.side, self.revision = upstream, side, revision
        self.pipeline = pipeline.to(device)
        self.pipeline.set_progress_bar_config(disable=True)

    def make(self, requests: Sequence[Request], sources: Tensor) -> Tensor:
        options = {
            "prompt": [r.prompt for r in requests],
            "generator": [torch.Generator().manual_seed(r.seed) for r in requests],
            "num_inference_steps": self.upstream.steps,
            "guidance_scale": self.upstream.guidance,
            "output_type": "pil",
        }
        match self.upstream.kind:
            case "text2img":
                options |= {"height": self.side, "width": self.side}
            case "instructpix2pix":
                options["image"] = self._pictures(sources)
                options["image_guidance_scale"] = self.upstream.image_guidance
            case _:
                options["image"] = self._pictures(sources)
                options["strength"] = requests[0].strength
        size = sources.shape[-1]
        made = [
            picture.convert("RGB").resize((size, size), Image.Resampling.BICUBIC)
            for picture in self.pipeline(**options).images
        ]
        images = torch.stack([functional.pil_to_tensor(picture) for picture in made])
        return images if sources.shape[1] == 3 else functional.rgb_to_grayscale(images)

    def _pictures(self, sources: Tensor) -> list[Image.Image]:
        size = (self.side, self.side)
        return [
            functional.to_pil_image(image).convert("RGB").resize(size, Image.Resampling.BICUBIC)
            for image in sources
        ]


def load(
    settings: StableDiffusion | InstructPix2Pix, kind: str, device: torch.device
) -> tuple[object, str]:
    """The pipeline of an upstream's kind, and the revision of its weights, of a folder its hash.

    ValueError that says what to do if the weights cannot be had, or lack a tensor: a library starts
    such a tensor at random, with a warning.
    """
    revision, whole = known(settings), device.type == "cpu"
    options = {
        "revision": settings.revision,
        "use_safetensors": True,
        "dtype": torch.float32 if whole else torch.float16,
    }
    networks, missing = {}, []
    try:
        for name, network in NETWORKS.items():
            networks[name], found = network.from_pretrained(
                settings.repository, subfolder=name, output_loading_info=True, **options
            )
            missing += [f"{name}/{key}" for key in sorted(found["missing_keys"])]
        pipeline = PIPELINES[kind].from_pretrained(
            settings.repository,
            safety_checker=None,
            requires_safety_checker=False,
            **networks,
            **options,
        )
    except Exception as error:  # a hub's client raises what its network does
        first = str(error).splitlines()[0] if str(error) else ""
        raise ValueError(
            f"repository: {settings.repository!r} could not be had ({type(error).__name__}: "
            f"{first}). Download it where there is a network, in safetensors, or name a folder "
            "under `repository` with `revision: null`"
        ) from error
    if missing:
        more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
        raise ValueError(
            f"repository: the weights in {settings.repository!r} lack "
            f"{', '.join(missing[:SHOWN])}{more}; download them again"
        )
    return pipeline, revision


def known(settings: Published) -> str:
    """What tells the weights of a repository from any others: the commit, or a folder's hash.

    ValueError for a hub's repository without a commit, and for a folder with one.
    """
    folder = Path(settings.repository)
    if (settings.revision is None) == folder.is_dir():
        return settings.revision or hashed(folder)
    if folder.is_dir():
        raise ValueError(f"revision: {folder} is a folder, and null is expected")
    raise ValueError(
        f"repository: {settings.repository!r} is no folder; of a hub's the revision is expected, "
        "a commit of 40 digits"
    )


def hashed(folder: Path) -> str:
    """SHA-256 of the weights and settings of a folder, with their names."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".safetensors", ".json", ".txt") and path.is_file():
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").hexdigest()
            digest.update(f"{path.relative_to(folder).as_posix()} {content}\n".encode())
    return digest.hexdigest()


ATTENTION = ["to_q", "to_k", "to_v", "to_out.0"]
"""Layers of a UNet's attention that get low-rank ones beside them."""


def adapted(unet: nn.Module, settings: Adaptation) -> nn.Module:
    """The UNet with what fine-tuning trains, and nothing else that is trained."""
    if settings.method == "full":
        return unet.requires_grad_(True)
    from peft import LoraConfig

    unet.requires_grad_(False)
    unet.add_adapter(
        LoraConfig(r=settings.rank, lora_alpha=settings.rank, target_modules=ATTENTION)
    )
    return unet


class Learnt:
    """The trained parameters of a model alone, under their names, to be saved and loaded."""

    def __init__(self, model: nn.Module):
        self.model = model

    def state_dict(self) -> dict[str, Tensor]:
        return {name: p for name, p in self.model.named_parameters() if p.requires_grad}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for name, parameter in self.state_dict().items():
                parameter.copy_(state[name])


def noising(pipeline) -> DDPMScheduler:
    """The schedule that a pipeline's model was trained with."""
    return DDPMScheduler.from_config(pipeline.scheduler.config)
