"""diffusers' pipelines with random weights: every upstream of prompts, and what is refused."""

import numpy as np
import pytest
import torch
from made_makers import save
from safetensors.torch import load_file, save_file

from replication.settings.generators import Adaptation, InstructPix2Pix, StableDiffusion
from replication.settings.upstreams import Edit, ImageToImage, TextToImage
from replication.upstream import diffusion
from replication.upstream.diffusion import pipelines
from replication.upstream.diffusion.requests import requests

OPTIONS = {"generator": "g", "steps": 3, "guidance": 7.5, "prompts": {"d": ['a "{}"', "{} — été"]}}
UPSTREAMS = [
    TextToImage(kind="text2img", **OPTIONS),
    ImageToImage(kind="img2img", strength={"d": 0.7}, **OPTIONS),
    Edit(kind="instructpix2pix", image_guidance=1.3, **OPTIONS),
]
LABELS, NAMES = {"train": np.array([0, 1, 0])}, ("wren", "owl")
SOURCES = torch.randint(0, 256, (3, 3, 12, 12), generator=torch.Generator().manual_seed(0)).byte()
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    made = tmp_path_factory.mktemp("weights")
    kinds = ("stable-diffusion", "instruct-pix2pix")
    return {kind: save(made / kind / "all", kind) for kind in kinds}


def settings_of(upstream, folders):
    if upstream.kind == "instructpix2pix":
        folder = str(folders["instruct-pix2pix"])
        return InstructPix2Pix(kind="instruct-pix2pix", repository=folder, revision=None, side=16)
    folder = str(folders["stable-diffusion"])
    return StableDiffusion(kind="stable-diffusion", repository=folder, revision=None, side=16)


def maker(upstream, folders):
    settings = settings_of(upstream, folders)
    pipeline, revision = pipelines.load(settings, upstream.kind, CPU)
    return pipelines.Piped(upstream, pipeline, settings.side, revision, CPU)


@pytest.mark.parametrize("upstream", UPSTREAMS, ids=lambda u: u.kind)
def test_an_image_has_a_generator_of_its_own(upstream, folders):
    listed, made = requests(upstream, "d", LABELS, NAMES, 1), maker(upstream, folders)
    together = made.make(listed, SOURCES)
    assert together.shape == SOURCES.shape
    assert together.dtype == torch.uint8
    assert len(made.revision) == 64
    for i, request in enumerate(listed):
        (alone,) = made.make([request], SOURCES[i : i + 1])
        assert (alone.int() - together[i].int()).abs().max() <= 2
    assert (together[0].int() - together[2].int()).abs().max() > 2
    (again,) = made.make([listed[0]], SOURCES[:1])
    assert (again == made.make([listed[0]], SOURCES[:1])[0]).all()


def test_an_image_to_image_follows_its_source(folders):
    upstream = UPSTREAMS[1]
    (request, *_), made = requests(upstream, "d", LABELS, NAMES, 1), maker(upstream, folders)
    one, other = (made.make([request], SOURCES[i : i + 1]) for i in (0, 1))
    assert (one != other).any()


@pytest.mark.parametrize(("method", "rank"), [("lora", 2), ("full", 2)])
def test_what_fine_tuning_learns_can_be_put_into_another_copy(folders, method, rank):
    settings = Adaptation(
        method=method, rank=rank, template="a {}", epochs=1, batch_size=2, learning_rate=1e-3,
        seed=0,
    )  # fmt: skip
    base = settings_of(UPSTREAMS[0], folders)
    one, other = (pipelines.load(base, "text2img", CPU)[0].unet for _ in "ab")
    learnt = pipelines.Learnt(pipelines.adapted(one, settings))
    every = sum(p.numel() for p in one.parameters())
    count = sum(t.numel() for t in learnt.state_dict().values())
    assert count == every if method == "full" else 0 < count < every / 10
    with torch.no_grad():
        for parameter in learnt.state_dict().values():
            parameter.add_(0.1)
    pipelines.Learnt(pipelines.adapted(other, settings)).load_state_dict(learnt.state_dict())
    x, t, text = torch.randn(1, 4, 8, 8), torch.tensor([10]), torch.randn(1, 16, 8)
    assert torch.equal(one(x, t, text).sample, other(x, t, text).sample)


def test_weights_that_are_not_there(tmp_path):
    settings = StableDiffusion(
        kind="stable-diffusion", repository=str(tmp_path), revision=None, side=16
    )
    with pytest.raises(
        ValueError, match=r"could not be had .* or name a folder under `repository`"
    ):
        pipelines.load(settings, "text2img", CPU)


@pytest.mark.parametrize(
    ("repository", "revision", "message"),
    [
        ("someone/model", None, "'someone/model' is no folder; of a hub's the revision is exp"),
        ("here", "4" * 40, "revision: .*here is a folder, and null is expected"),
    ],
)
def test_weights_that_nothing_tells_from_others(tmp_path, repository, revision, message):
    save(tmp_path / "here")
    place = tmp_path / "here" if repository == "here" else repository
    settings = StableDiffusion(
        kind="stable-diffusion", repository=str(place), revision=revision, side=16
    )
    with pytest.raises(ValueError, match=message):
        pipelines.load(settings, "text2img", CPU)


def test_another_scheduler_or_name_is_another_folder(tmp_path):
    folder = save(tmp_path / "all")
    before = pipelines.hashed(folder)
    (folder / "README.md").write_text("x")
    assert pipelines.hashed(folder) == before
    scheduler = folder / "scheduler" / "scheduler_config.json"
    text = scheduler.read_text()
    scheduler.write_text(text.replace("0.02", "0.03"))
    assert pipelines.hashed(folder) != before
    scheduler.write_text(text)
    assert pipelines.hashed(folder) == before
    (folder / "unet").rename(folder / "other")
    assert pipelines.hashed(folder) != before


def test_pickled_weights_are_refused(tmp_path):
    folder = save(tmp_path / "all")
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    settings = StableDiffusion(
        kind="stable-diffusion", repository=str(folder), revision=None, side=16
    )
    with pytest.raises(ValueError, match="Download it where there is a network, in safetensors"):
        pipelines.load(settings, "text2img", CPU)


@pytest.mark.parametrize("part", ["unet", "vae", "text_encoder"])
@pytest.mark.parametrize("lost", [1, 9])
def test_weights_without_some_tensors_are_refused(tmp_path, part, lost):
    folder = save(tmp_path / "all")
    (weights,) = (folder / part).glob("*.safetensors")
    tensors = load_file(weights)
    names = sorted(tensors)[:lost]
    kept = {name: tensor for name, tensor in tensors.items() if name not in names}
    save_file(kept, weights, {"format": "pt"})
    settings = StableDiffusion(
        kind="stable-diffusion", repository=str(folder), revision=None, side=16
    )
    with pytest.raises(ValueError, match="download them again") as caught:
        pipelines.load(settings, "text2img", CPU)
    message = str(caught.value)
    assert message.startswith(f"repository: the weights in '{folder}' lack {part}/{names[0]}")
    assert all(f"{part}/{name}" in message for name in names[:8])
    assert (" and 1 more; " in message) == (lost == 9)


@pytest.mark.parametrize("package", ["diffusers", "transformers", "peft"])
def test_a_package_that_is_not_installed(monkeypatch, package):
    def missing(name):
        if name == package:
            raise ImportError(name)

    monkeypatch.setattr(diffusion, "import_module", missing)
    with pytest.raises(ValueError, match=f"needs the package {package}: pip install"):
        diffusion.require("stable-diffusion")
