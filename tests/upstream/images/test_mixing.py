import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest
from torchvision.transforms import v2

from replication.settings import upstreams
from replication.upstream import build

K = 5


def mixing(kind, classes, alpha):
    return build(upstreams.Mixing(kind=kind, alpha=alpha), classes)


@st.composite
def batches(draw):
    count, channels = draw(st.integers(1, 9)), draw(st.sampled_from([1, 3]))
    height, width = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    seed = draw(st.integers(0, 2**32))
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randint(
        256, (count, channels, height, width), dtype=torch.uint8, generator=generator
    )
    return inputs, torch.randint(K, (count,), generator=generator), seed


def numbered(count, side):
    """Images whose every pixel is their number, each of a class of its own."""
    inputs = torch.arange(count, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, side, side)
    return inputs.contiguous(), torch.arange(count)


@settings(deadline=None, max_examples=60)
@given(batches(), st.sampled_from(["mixup", "cutmix"]), st.sampled_from([0.05, 0.4, 1.0, 8.0]))
def test_labels_are_on_the_simplex_and_images_keep_shape_and_range(batch, name, alpha):
    inputs, labels, seed = batch
    before = inputs.clone()
    output, soft = mixing(name, K, alpha)(inputs, labels, torch.Generator().manual_seed(seed))
    assert output.shape == inputs.shape
    assert output.dtype == torch.uint8
    assert soft.shape == (len(labels), K)
    assert soft.dtype == torch.float32
    assert (soft >= 0).all()
    torch.testing.assert_close(soft.sum(1), torch.ones(len(labels)))
    assert (output >= inputs.amin(0)).all()
    assert (output <= inputs.amax(0)).all()
    assert torch.equal(inputs, before)


def test_mixup_lies_between_two_images_in_the_proportion_of_the_labels():
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randint(256, (200, 3, 4, 4), dtype=torch.uint8, generator=generator)
    output, soft = mixing("mixup", 200, 0.4)(inputs, torch.arange(200), generator)
    kept = soft.diagonal()
    partners = (soft - torch.diag(kept)).argmax(1)
    first, second = inputs.float(), inputs[partners].float()
    mixed = first * kept.view(-1, 1, 1, 1) + second * (1 - kept).view(-1, 1, 1, 1)
    assert ((output.float() - mixed).abs() <= 0.5 + 1e-3).all()
    assert (output.float() >= torch.minimum(first, second)).all()
    assert (output.float() <= torch.maximum(first, second)).all()


def test_cutmix_is_a_box_of_another_image_with_the_labels_area():
    inputs, labels = numbered(200, 9)
    output, soft = mixing("cutmix", 200, 1.0)(inputs, labels, torch.Generator().manual_seed(0))
    partners = set()
    for number, (image, label) in enumerate(zip(output[:, 0], soft, strict=True)):
        foreign = image != number
        assert label[number] == pytest.approx(1 - foreign.float().mean().item(), abs=1e-6)
        if foreign.any():
            (partner,) = image[foreign].unique().tolist()
            assert label[partner] == pytest.approx(foreign.float().mean().item(), abs=1e-6)
            partners.add(partner)
            rows, columns = foreign.any(1), foreign.any(0)
            assert torch.equal(foreign, rows[:, None] & columns)
            assert rows.nonzero().diff(dim=0).le(1).all()
            assert columns.nonzero().diff(dim=0).le(1).all()
    assert len(partners) == (soft.diagonal() < 1).sum()


def test_cutmix_equals_torchvisions_for_the_box_and_partner_drawn():
    count, height, width = 60, 9, 14
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randint(256, (count, 3, height, width), dtype=torch.uint8, generator=generator)
    output, soft = mixing("cutmix", count, 1.0)(inputs, torch.arange(count), generator)
    reference, mixed = v2.CutMix(num_classes=count), 0
    for i in range(count):
        foreign = (output[i] != inputs[i]).any(0)
        if not foreign.any():
            continue
        (y1, x1), (y2, x2) = foreign.nonzero().amin(0), foreign.nonzero().amax(0) + 1
        labels = torch.tensor([i, (soft[i] - torch.eye(count)[i]).argmax()])
        kept = 1 - (x2 - x1).item() * (y2 - y1).item() / (height * width)
        params = {"box": (x1, y1, x2, y2), "lam_adjusted": kept, "batch_size": 2, "labels": labels}
        assert torch.equal(output[i], reference.transform(inputs[labels], params)[0])
        torch.testing.assert_close(soft[i], reference.transform(labels, params)[0])
        mixed += 1
    assert mixed > count / 2


@pytest.mark.parametrize("alpha", [0.4, 1.0, 4.0])
def test_mixup_draws_one_beta_ratio_per_sample(alpha):
    inputs, labels = torch.zeros(2000, 1, 1, 1, dtype=torch.uint8), torch.arange(2000)
    _, soft = mixing("mixup", 2000, alpha)(inputs, labels, torch.Generator().manual_seed(0))
    assert kstest(soft.diagonal().numpy(), "beta", (alpha, alpha)).pvalue > 0.01


def test_cutmix_boxes_have_the_sizes_that_torchvision_draws():
    """For lambda = 1 / 4 the half sides of a 28 x 28 image are int(28 sqrt(3) / 4) = 12."""
    upstream = mixing("cutmix", 64, 1.0)
    upstream._ratios = lambda count, generator: torch.full((count,), 0.25)
    output, _ = upstream(*numbered(64, 28), torch.Generator().manual_seed(0))
    foreign = (output != torch.arange(64).view(-1, 1, 1, 1))[:, 0]
    rows = foreign.any(2).sum(1)
    assert rows.max() == 24
    assert rows[foreign.any((1, 2))].min() >= 12


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_only_the_generator_decides(name):
    (inputs, labels), upstream = numbered(50, 8), mixing(name, 50, 1.0)
    state = torch.get_rng_state()
    first, again, other = (
        upstream(inputs, labels, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])
    assert torch.equal(state, torch.get_rng_state())
