"""The class-conditional UNet: DDIM beside its formula, and images that are their own."""

import numpy as np
import pytest
import torch

from replication.settings.generators import ClassConditional
from replication.settings.upstreams import ImageToImage, TextToImage
from replication.upstream.diffusion import unet
from replication.upstream.diffusion.requests import requests

SETTINGS = ClassConditional(
    kind="class-conditional", channels=[8, 16], domains=["plain", "inverted"],
    training={"epochs": 1, "batch_size": 4, "learning_rate": 1e-3, "seed": 0},
)  # fmt: skip
OPTIONS = {"generator": "g", "steps": 4, "prompts": {"d": ["inverted"]}}
TEXT = TextToImage(kind="text2img", **OPTIONS)
IMAGE = ImageToImage(kind="img2img", strength={"d": 0.5}, **OPTIONS)
SOURCES = torch.randint(0, 256, (5, 1, 8, 8), generator=torch.Generator().manual_seed(0)).byte()
LABELS = {"train": np.array([0, 1, 2, 1, 0])}


def made(upstream, model=None, asked=None):
    torch.manual_seed(0)
    model = model or unet.build(SETTINGS, (1, 8, 8), 3)
    maker = unet.Conditional(SETTINGS, upstream, model, "r", torch.device("cpu"))
    listed = requests(upstream, "d", LABELS, (), 1) if asked is None else asked
    return listed, maker.make(listed, SOURCES[[r.source for r in listed]]), maker


def by_formula(maker, request, source, strength):
    """x' = sqrt(a') x0 + sqrt(1 - a') e with x0 clipped (Song et al. 2021, Eq. 12)."""
    schedule, steps = maker.schedule, maker.upstream.steps
    alphas, x = schedule.alphas_cumprod.double(), unet.noise(request, source.shape).double()
    stride = 1000 // steps
    times = list(range(0, 1000, stride))[::-1]
    if strength is not None:
        times = times[steps - int(steps * strength) :]
        a = alphas[times[0]]
        x = a.sqrt() * (source.double() / 127.5 - 1) + (1 - a).sqrt() * x
    number = torch.tensor([request.label * 2 + 1])
    for t in times:
        with torch.no_grad():
            e = maker.model(x[None].float(), torch.tensor([t]), number).sample[0].double()
        a, before = alphas[t], alphas[t - stride] if t >= stride else torch.tensor(1.0)
        first = ((x - (1 - a).sqrt() * e) / a.sqrt()).clamp(-1, 1)
        x = before.sqrt() * first + (1 - before).sqrt() * e
    return (x.clamp(-1, 1) + 1) * 127.5


@pytest.mark.parametrize("upstream", [TEXT, IMAGE], ids=lambda u: u.kind)
def test_sampling_is_that_of_the_formula(upstream):
    listed, images, maker = made(upstream)
    for request, image in zip(listed, images, strict=True):
        expected = by_formula(maker, request, SOURCES[request.source], request.strength)
        assert (image.double() - expected).abs().max() < 1


@pytest.mark.parametrize("upstream", [TEXT, IMAGE], ids=lambda u: u.kind)
def test_an_image_does_not_depend_on_those_beside_it(upstream):
    listed, images, _ = made(upstream)
    for request, image in zip(listed, images, strict=True):
        _, (alone,), _ = made(upstream, asked=[request])
        assert (alone.int() - image.int()).abs().max() <= 1


def test_guidance_is_a_line_through_both_predictions():
    torch.manual_seed(0)
    model = unet.build(SETTINGS, (1, 8, 8), 3)
    twice = TEXT.model_copy(update={"guidance": 2.5})
    _, _, maker = made(twice, model)
    x, t, wanted = torch.randn(3, 1, 8, 8), torch.tensor(500), torch.tensor([1, 3, 5])
    with torch.no_grad():
        found = model(x, t, wanted).sample
        none = model(x, t, torch.full((3,), 6)).sample
        assert torch.allclose(maker._noise(x, t, wanted), none + 2.5 * (found - none), atol=1e-6)


def test_conditions_are_counted_class_by_class():
    labels, domains = torch.tensor([0, 0, 2]), torch.tensor([0, 1, 1])
    assert unet.condition(SETTINGS, labels, domains).tolist() == [0, 1, 5]
    assert unet.build(SETTINGS, (1, 8, 8), 3).config.num_class_embeds == 7


def test_a_side_that_cannot_be_halved():
    with pytest.raises(ValueError, match="2 levels cannot halve a side of 9 pixels"):
        unet.build(SETTINGS, (1, 9, 9), 3)
