"""From a diffusion model with random weights to judged views, stage by stage in one process."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML
from safetensors.torch import load_file, save_file

from replication import cells, settings
from replication.cells import Made
from replication.files import read_json
from replication.stages import data, generate, generator, judged, judges, sheet, train

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "tests/upstream/diffusion"))
from made_makers import save  # noqa: E402

DATASET, UPSTREAM = "digits-lookalikes", "img2img-finetuned"
METHOD = ("quick", "generated", DATASET)
VIEWS = Path("data/views/quick/generated") / DATASET / UPSTREAM
yaml = YAML()


def edit(path, change):
    content = yaml.load(path.read_text())
    change(content)
    with path.open("w") as file:
        yaml.dump(content, file)


def define(params, weights):
    params["datasets"][DATASET].update(train=8, validation=8)
    tuned = params["generators"]["stable-diffusion-finetuned"]
    tuned.update(repository=str(weights), revision=None, side=16)
    tuned["training"].update(epochs=1, rank=2)
    entry = params["upstreams"][UPSTREAM]
    entry.update(steps=2, strength={DATASET: 0.6}, prompts={DATASET: ['a "{}"', "{} — été 🐦"]})


def choose(profile):
    grid = profile["generated"]
    grid.update(datasets=[DATASET], upstreams=[UPSTREAM], seeds=1, copies=2, batch=4)
    grid.update(generators=["stable-diffusion-finetuned"], sheets=["paper"])
    grid["refiners"] = ["none", "paper", "filtered", "oracle", "train-validation"]
    grid["controlled"] = {"upstreams": [], "refiners": []}
    grid["judging"].update(epochs=2)
    grid["training"].update(epochs=1, batch_size=8, validation_batch=8)
    for name in ("images", "tabular", "contrastive"):
        profile[name]["datasets"] = []
    profile["data"] = [DATASET]
    profile["tables"] = {name: [] for name in profile["tables"]} | {"figure2": ["toy"]}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A folder in which everything up to the judged views was made."""
    folder = tmp_path_factory.mktemp("whole")
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "profiles", folder / "profiles")
    weights = save(tmp_path_factory.mktemp("weights") / "all")
    edit(folder / "params.yaml", lambda params: define(params, weights))
    edit(folder / "profiles/quick.yaml", choose)
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        call(patched, data, "quick", DATASET)
        call(patched, generator, *METHOD, "stable-diffusion-finetuned")
        call(patched, judges, *METHOD)
        call(patched, generate, *METHOD, UPSTREAM)
        call(patched, judged, *METHOD, UPSTREAM)
    return folder


@pytest.fixture
def folder(whole, tmp_path, monkeypatch):
    shutil.copytree(whole, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    return tmp_path / "copy"


def call(patched, stage, *arguments):
    patched.setattr(sys, "argv", [stage.__name__, *arguments])
    stage.main()


def test_views_are_the_images_with_what_they_show(folder):
    views = {path.stem: np.load(path) for path in VIEWS.glob("*.npy")}
    assert views["train_inputs"].shape == (2, 8, 1, 8, 8)
    manifest = read_json(folder / "data/generated/quick" / DATASET / UPSTREAM / "manifest.json")
    assert len(manifest["images"]) == 2 * (8 + 8)
    assert manifest["origin"]["weights"]
    assert (views["train_labels"].argmax(2) == views["train_labels"].argmax(2)[0]).all()
    found = cells.read(Made, cells.made("quick", "generated", DATASET, UPSTREAM))
    wrong = views["train_shown"] != views["train_labels"].argmax(2)
    kept = views["train_kept"]
    assert found.images == 16
    assert found.other == pytest.approx(wrong.mean())
    assert found.kept == pytest.approx(kept.mean())
    assert found.other_of_kept == pytest.approx(wrong[kept].mean() if kept.any() else 0)


def test_cells_are_trained_on_them_and_the_sheet_looks_at_them(folder, monkeypatch):
    monkeypatch.setenv("SAFLEX_JOBS", "1")
    views = {path.stem: np.load(path) for path in VIEWS.glob("*.npy")}
    for refiner in ("paper", "filtered", "oracle"):
        call(monkeypatch, train, *METHOD, "small-cnn", UPSTREAM, refiner)
    planned = {p.method.refiner: p for p in settings.methods(settings.load("quick"))
               if p.method.upstream == UPSTREAM}  # fmt: skip
    found = {r: cells.result(planned[r].cells[0], "quick") for r in ("paper", "filtered", "oracle")}
    assert f"{UPSTREAM}/made.json" in found["paper"].data.files
    first = views["train_shown"][0] != views["train_labels"][0].argmax(1)
    (seed,) = found["oracle"].seeds  # of one epoch, which has the first view of every other image
    assert 0 <= seed.refiner["other"] <= 1
    assert seed.refiner["other_weight"] == pytest.approx(0, abs=1e-6)
    assert first.shape == (8,)
    call(monkeypatch, sheet, *METHOD, "paper")
    with np.load(cells.sheet("quick", "generated", DATASET, "paper", UPSTREAM)) as samples:
        assert samples["made"].shape == samples["source"].shape == (8, 1, 8, 8)
        assert samples["names"].tolist() == ["1", "3", "8", "9"]
        assert samples["weight"].mean() == pytest.approx(1, abs=1e-5)


def test_views_of_other_images_are_refused(folder, monkeypatch):
    (VIEWS / "made.json").write_text("{}")
    with pytest.raises(SystemExit, match="no stored views of these settings and data"):
        call(monkeypatch, train, *METHOD, "small-cnn", UPSTREAM, "none")


def test_a_truncated_image_is_named_and_made_again(folder, monkeypatch, capsys):
    victim = next((folder / "data/generated/quick" / DATASET / UPSTREAM / "train").iterdir())
    content = victim.read_bytes()
    victim.write_bytes(content[:30])
    with pytest.raises(SystemExit, match=f"{victim.name}: missing, damaged or of other settings"):
        call(monkeypatch, judged, *METHOD, UPSTREAM)
    call(monkeypatch, generate, *METHOD, UPSTREAM)
    assert victim.read_bytes() == content
    call(monkeypatch, judged, *METHOD, UPSTREAM)
    assert "of 16 images" in capsys.readouterr().out


def test_a_generator_of_other_settings_is_refused(folder, monkeypatch):
    def change(params):
        params["generators"]["stable-diffusion-finetuned"]["training"].update(learning_rate=0.5)

    edit(folder / "params.yaml", change)
    with pytest.raises(SystemExit, match=r"origin\.json: of other settings"):
        call(monkeypatch, generate, *METHOD, UPSTREAM)


def test_images_of_a_folder_whose_weights_are_others_now_are_made_again(folder, monkeypatch):
    def move(params):
        params["generators"]["stable-diffusion-finetuned"]["repository"] = "weights"

    made = folder / "data/generated/quick" / DATASET / UPSTREAM
    before, generators = read_json(made / "manifest.json"), (*METHOD, "stable-diffusion-finetuned")
    params = yaml.load((folder / "params.yaml").read_text())
    weights = params["generators"]["stable-diffusion-finetuned"]["repository"]
    shutil.copytree(weights, folder / "weights")
    edit(folder / "params.yaml", move)
    call(monkeypatch, generator, *generators)
    call(monkeypatch, generate, *METHOD, UPSTREAM)
    same = read_json(made / "manifest.json")
    assert same["images"] == before["images"]
    (vae,) = (folder / "weights/vae").glob("*.safetensors")
    save_file({name: 1.5 * t for name, t in load_file(vae).items()}, vae, {"format": "pt"})
    with pytest.raises(SystemExit, match=r"\.png: missing, damaged or of other settings"):
        call(monkeypatch, judged, *METHOD, UPSTREAM)
    with pytest.raises(SystemExit, match=r"origin\.json: of other settings"):
        call(monkeypatch, generate, *METHOD, UPSTREAM)
    call(monkeypatch, generator, *generators)
    call(monkeypatch, generate, *METHOD, UPSTREAM)
    revisions = {image["revision"] for image in read_json(made / "manifest.json")["images"]}
    assert not revisions & {image["revision"] for image in same["images"]}


def test_a_domain_that_the_data_set_does_not_have(folder, monkeypatch):
    def change(params):
        params["generators"]["stable-diffusion-finetuned"] = {
            **params["generators"]["unet-digits"], "domains": ["plain", "stained"]
        }  # fmt: skip
        entry = params["upstreams"][UPSTREAM]
        entry.update(kind="img2img", prompts={DATASET: ["plain"]})

    edit(folder / "params.yaml", change)
    message = "'stained' is none of those of digits-lookalikes: plain, inverted"
    with pytest.raises(SystemExit, match=message):
        call(monkeypatch, generator, *METHOD, "stable-diffusion-finetuned")


def test_what_the_profile_does_not_have(folder, monkeypatch):
    for stage in (generate, judged):
        with pytest.raises(SystemExit, match=r"has nothing with .*upstream text2img"):
            call(monkeypatch, stage, *METHOD, "text2img")
    with pytest.raises(SystemExit, match=r"has nothing with .*generator unet-digits"):
        call(monkeypatch, generator, *METHOD, "unet-digits")
