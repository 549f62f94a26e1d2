import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms.v2 import functional

from replication.settings import upstreams
from replication.upstream import build
from replication.upstream.images.crop import Crop, PaddedCrop

CROP = upstreams.Crop(kind="crop")
NONE = upstreams.Identity(kind="none")


def padded(padding):
    return upstreams.PaddedCrop(kind="padded-crop", padding=padding)


def positive(count, channels, height, width, seed=0):
    """Images without zeros, so that what is zero in a crop was outside."""
    generator = torch.Generator().manual_seed(seed)
    shape = (count, channels, height, width)
    return torch.randint(1, 256, shape, dtype=torch.uint8, generator=generator)


@settings(deadline=None, max_examples=50)
@given(
    st.sampled_from([CROP, padded(4)]),
    st.integers(0, 9),
    st.sampled_from([1, 3]),
    st.integers(1, 12),
    st.integers(1, 12),
    st.integers(0, 2**32),
)
def test_visible_is_the_share_of_pixels_left(settings, count, channels, height, width, seed):
    upstream, inputs = build(settings, 3), positive(count, channels, height, width, seed)
    crops, visible = upstream.augment(inputs, torch.Generator().manual_seed(seed))
    assert crops.shape == inputs.shape
    assert crops.dtype == torch.uint8
    assert visible.dtype == torch.float32
    torch.testing.assert_close(visible, (crops[:, 0] > 0).float().mean((1, 2)))
    labels = torch.arange(count) % 3
    again, soft = upstream(inputs, labels, torch.Generator().manual_seed(seed))
    assert torch.equal(again, crops)
    assert torch.equal(soft, torch.eye(3)[labels])


def test_every_offset_equals_torchvisions_crop():
    class Fixed(Crop):
        def _offsets(self, count, length, generator):
            return offsets[length]

    grid = torch.cartesian_prod(torch.arange(-9, 10), torch.arange(-9, 10))
    offsets = {7: grid[:, 0], 8: grid[:, 1]}
    inputs = positive(len(grid), 3, 7, 8)
    crops, _ = Fixed(CROP, 2).augment(inputs, torch.Generator())
    for image, crop, (top, left) in zip(inputs, crops, grid.tolist(), strict=True):
        padded = functional.pad(image, [9])
        assert torch.equal(crop, functional.crop(padded, 9 + top, 9 + left, 7, 8))


@pytest.mark.parametrize(("side", "deviation"), [(32, 12.0), (28, 10.5)])
def test_offsets_are_gaussian_and_scale_with_the_side(side, deviation):
    offsets = Crop(CROP, 2)._offsets(100_000, side, torch.Generator().manual_seed(0)).float()
    assert offsets.mean().abs() < 0.15
    assert offsets.std() == pytest.approx(deviation, rel=0.01)


def test_padded_offsets_are_uniform_up_to_the_padding():
    offsets = PaddedCrop(padded(4), 2)._offsets(90_000, 28, torch.Generator().manual_seed(0))
    counts = torch.bincount(offsets + 4)
    assert len(counts) == 9
    assert counts.float().sub(10_000).abs().max() < 400


@pytest.mark.parametrize("settings", [NONE, CROP, padded(4)], ids=lambda s: s.kind)
def test_only_the_generator_decides(settings):
    upstream, inputs, labels = build(settings, 2), positive(40, 1, 8, 8), torch.arange(40) % 2
    before, state = inputs.clone(), torch.get_rng_state()
    first, again, other = (
        upstream(inputs, labels, torch.Generator().manual_seed(seed))[0] for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert torch.equal(first, other) == (settings is NONE)
    assert torch.equal(inputs, before)
    assert torch.equal(state, torch.get_rng_state())
