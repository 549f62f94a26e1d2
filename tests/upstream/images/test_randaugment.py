import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from torchvision.transforms import v2

from replication.settings import upstreams
from replication.upstream.images.randaugment import (
    BINS,
    NAMES,
    RANDAUGMENT,
    TRIVIALAUGMENT,
    Operations,
    RandAugment,
    TrivialAugment,
)

RAND = RandAugment(upstreams.RandAugment(kind="randaugment"), 4)
TRIVIAL = TrivialAugment(upstreams.TrivialAugment(kind="trivialaugment"), 4)
REFERENCES = {RANDAUGMENT: v2.RandAugment(fill=0), TRIVIALAUGMENT: v2.TrivialAugmentWide(fill=0)}


def images(count, channels, side, seed=0):
    """Noise, dark and bright images, gradients and constants: every operation meets its edge."""
    noise = torch.rand(count, channels, side, side, generator=torch.Generator().manual_seed(seed))
    noise[1::5] *= 0.3
    noise[2::5] = 0.6 + 0.4 * noise[2::5]
    noise[3::5] = torch.linspace(0, 1, side).expand(channels, side, side)
    noise[4::5] = noise[4::5].mean((1, 2, 3), keepdim=True)
    return (255 * noise).to(torch.uint8)


def by_torchvision(image, space, name, bin, negative):
    reference = REFERENCES[space]
    bins, signed = reference._AUGMENTATION_SPACE[name]
    bins = bins(BINS, *image.shape[1:])
    magnitude = 0.0 if bins is None else float(bins[bin])
    return reference._apply_image_or_video_transform(
        image,
        name,
        -magnitude if signed and negative else magnitude,
        interpolation=reference.interpolation,
        fill=reference._fill,
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("space", REFERENCES, ids=["randaugment", "trivialaugment"])
@pytest.mark.parametrize(("channels", "side"), [(1, 28), (3, 28), (1, 8), (3, 8)])
def test_every_magnitude_and_sign_equals_torchvision(space, name, channels, side):
    table = Operations(space, range(BINS), side, side, torch.device("cpu"))
    batch = images(table.settings, channels, side)
    choices = torch.arange(table.settings)
    output = table.apply(batch, torch.full_like(choices, NAMES.index(name)), choices)
    for choice in range(table.settings):
        expected = by_torchvision(batch[choice], space, name, choice // 2, choice % 2)
        assert torch.equal(output[choice], expected), f"bin {choice // 2}, sign {choice % 2}"


@pytest.mark.parametrize(("height", "width"), [(28, 28), (9, 14), (2, 5)])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_mixed_batch_equals_torchvision_image_by_image(channels, height, width):
    table = Operations(RANDAUGMENT, range(9, 10), height, width, torch.device("cpu"))
    batch = images(300, channels, 28)[..., :height, :width].contiguous()
    before = batch.clone()
    operations, choices = RAND.draw(300, torch.Generator().manual_seed(0))
    output = table.apply(batch, operations, choices)
    for image, augmented, operation, choice in zip(batch, output, operations, choices, strict=True):
        expected = by_torchvision(image, RANDAUGMENT, NAMES[operation], 9, choice)
        assert torch.equal(augmented, expected), NAMES[operation]
    assert torch.equal(batch, before)


def test_operations_follow_one_another():
    batch, labels = images(64, 3, 28), torch.zeros(64, dtype=torch.long)
    three = RandAugment(upstreams.RandAugment(kind="randaugment", operations=3), 2)
    output, _ = three(batch, labels, torch.Generator().manual_seed(5))
    generator = torch.Generator().manual_seed(5)
    expected = list(batch)
    for _ in range(3):
        drawn = RAND.draw(64, generator)
        expected = [
            by_torchvision(image, RANDAUGMENT, NAMES[operation], 9, choice)
            for image, operation, choice in zip(expected, *drawn, strict=True)
        ]
    assert torch.equal(output, torch.stack(expected))


def test_the_operations_are_torchvisions():
    for reference in REFERENCES.values():
        assert set(NAMES) == set(reference._AUGMENTATION_SPACE)


@pytest.mark.parametrize("upstream", [RAND, TRIVIAL])
def test_operations_and_settings_are_uniform(upstream):
    operations, choices = upstream.draw(62_000, torch.Generator().manual_seed(0))
    assert chisquare(torch.bincount(operations, minlength=len(NAMES))).pvalue > 0.01
    assert chisquare(torch.bincount(choices, minlength=2 * len(upstream.bins))).pvalue > 0.01


@pytest.mark.parametrize("upstream", [RAND, TRIVIAL])
def test_only_the_generator_decides(upstream):
    batch, labels = images(32, 3, 8), torch.arange(32) % 4
    state = torch.get_rng_state()
    first, again, other = (
        upstream(batch, labels, torch.Generator().manual_seed(seed))[0] for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(state, torch.get_rng_state())


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 12), st.sampled_from([1, 3]), st.integers(1, 12), st.integers(0, 2**32))
def test_shapes_and_labels(count, channels, side, seed):
    labels = torch.arange(count) % 4
    for upstream in (RAND, TRIVIAL):
        output, soft = upstream(
            images(count, channels, side, seed), labels, torch.Generator().manual_seed(seed)
        )
        assert output.shape == (count, channels, side, side)
        assert output.dtype == torch.uint8
        assert soft.dtype == torch.float32
        assert torch.equal(soft, torch.eye(4)[labels])


def test_inputs_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"\(4, 2, 8, 8\)"):
        TRIVIAL(images(4, 2, 8), torch.zeros(4).long(), torch.Generator())
