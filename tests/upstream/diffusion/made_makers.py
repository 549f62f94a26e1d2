"""Makers without a model, and tiny pipelines with random weights, saved as published ones are."""

import json

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    StableDiffusionInstructPix2PixPipeline,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from replication.upstream.diffusion.unet import noise


class Noisy:
    """Each image is its source with noise of its own seed. calls: sizes of batches."""

    revision = "r1"

    def __init__(self, room=None, dies_after=None):
        self.room, self.dies_after, self.calls = room, dies_after, []

    def make(self, requests, sources):
        if self.room is not None and len(requests) > self.room:
            raise torch.cuda.OutOfMemoryError("no room")
        if self.dies_after == len(self.calls):
            raise KeyboardInterrupt
        self.calls.append(len(requests))
        made = [s + 30 * noise(r, s.shape) for r, s in zip(requests, sources, strict=True)]
        return torch.stack(made).clamp(0, 255).to(torch.uint8)


def save(folder, kind="stable-diffusion", side=16):
    """A pipeline of a few thousand parameters, from its configuration."""
    torch.manual_seed(0)
    edit = kind == "instruct-pix2pix"
    unet = UNet2DConditionModel(
        block_out_channels=(8, 16), layers_per_block=1, sample_size=side // 2, norm_num_groups=4,
        in_channels=8 if edit else 4, out_channels=4, cross_attention_dim=8, attention_head_dim=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    )  # fmt: skip
    vae = AutoencoderKL(
        block_out_channels=(8, 8), in_channels=3, out_channels=3, norm_num_groups=4,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
    )  # fmt: skip
    letters = [chr(i) for i in (*range(33, 127), *range(161, 256))]
    tokens = [*letters, *(f"{letter}</w>" for letter in letters)]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    words = folder.parent / "words"
    words.mkdir(parents=True, exist_ok=True)
    (words / "vocab.json").write_text(json.dumps({t: i for i, t in enumerate(tokens)}))
    (words / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer(
        vocab_file=str(words / "vocab.json"), merges_file=str(words / "merges.txt"),
        model_max_length=16,
    )  # fmt: skip
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokens), hidden_size=8, intermediate_size=16, num_attention_heads=2,
            num_hidden_layers=1, max_position_embeddings=16, bos_token_id=len(tokens) - 2,
            eos_token_id=len(tokens) - 1, pad_token_id=len(tokens) - 1,
        )
    )  # fmt: skip
    pipeline = StableDiffusionInstructPix2PixPipeline if edit else StableDiffusionPipeline
    made = pipeline(
        vae=vae, text_encoder=text, tokenizer=tokenizer, unet=unet, safety_checker=None,
        scheduler=DDIMScheduler(clip_sample=False, steps_offset=1), feature_extractor=None,
        requires_safety_checker=False,
    )  # fmt: skip
    made.save_pretrained(folder, safe_serialization=True)
    return folder
