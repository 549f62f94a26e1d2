"""A small UNet of diffusers' that makes images of a class in a domain (Ho et al. 2020).

Sampling is DDIM's (Song et al. 2021), without noise of its own; guidance is classifier-free.
"""

from collections.abc import Sequence

import torch
from diffusers import DDIMScheduler, UNet2DModel
from torch import Tensor

from replication.settings.generators import ClassConditional
from replication.settings.upstreams import Generated
from replication.upstream.diffusion.requests import Request

GROUPS = 8
"""Of its group norms, that channels are multiples of."""


def build(settings: ClassConditional, shape: Sequence[int], classes: int) -> UNet2DModel:
    """With random weights, from the global random state. shape: (C, H, W) of images.

    Conditions are numbered class by class, domain by domain, and the last is none.
    ValueError for images whose side the levels cannot halve.
    """
    channels, side, levels = shape[0], shape[-1], len(settings.channels)
    if side % 2 ** (levels - 1):
        raise ValueError(f"channels: {levels} levels cannot halve a side of {side} pixels")
    return UNet2DModel(
        sample_size=side,
        in_channels=channels,
        out_channels=channels,
        block_out_channels=tuple(settings.channels),
        layers_per_block=settings.layers,
        down_block_types=("DownBlock2D",) * levels,
        up_block_types=("UpBlock2D",) * levels,
        norm_num_groups=GROUPS,
        num_class_embeds=classes * len(settings.domains) + 1,
        add_attention=False,
    )


def schedule() -> DDIMScheduler:
    return DDIMScheduler(beta_schedule="squaredcos_cap_v2", clip_sample=True)


def condition(settings: ClassConditional, labels: Tensor, domains: Tensor) -> Tensor:
    """Numbers of conditions (B,) of classes (B,) in domains (B,)."""
    return labels * len(settings.domains) + domains


class Conditional:
    """Makes the images of requests whose prompts are domains.

    model: of `build`, trained. Where requests have a strength, from their source, noised that far.
    """

    def __init__(
        self,
        settings: ClassConditional,
        upstream: Generated,
        model: UNet2DModel,
        revision: str,
        device: torch.device,
    ):
        self.settings, self.upstream, self.revision = settings, upstream, revision
        self.model, self.device = model.to(device).eval(), device
        self.schedule = schedule()

    @torch.no_grad()
    def make(self, requests: Sequence[Request], sources: Tensor) -> Tensor:
        domains = torch.tensor([self.settings.domains.index(r.prompt) for r in requests])
        labels = torch.tensor([r.label for r in requests])
        wanted = condition(self.settings, labels, domains).to(self.device)
        x = torch.stack([noise(request, sources.shape[1:]) for request in requests])
        steps = self.upstream.steps
        self.schedule.set_timesteps(steps)
        times = self.schedule.timesteps
        if (strength := requests[0].strength) is not None:
            times = times[steps - max(1, int(steps * strength)) :]
            x = self.schedule.add_noise(sources.float() / 127.5 - 1, x, times[:1])
        x = x.to(self.device)
        for t in times:
            x = self.schedule.step(self._noise(x, t, wanted), t, x).prev_sample
        return ((x.cpu().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)

    def _noise(self, x: Tensor, t: Tensor, wanted: Tensor) -> Tensor:
        """What the model takes for noise in x, guided by the conditions."""
        t = t.to(self.device).expand(len(x))
        found = self.model(x, t, wanted).sample
        if self.upstream.guidance == 1:
            return found
        none = torch.full_like(wanted, self.model.config.num_class_embeds - 1)
        plain = self.model(x, t, none).sample
        return plain + self.upstream.guidance * (found - plain)


def noise(request: Request, shape: Sequence[int]) -> Tensor:
    """The standard normal noise of a request, on the CPU: the same on every device."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(request.seed))
