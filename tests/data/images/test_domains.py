"""Data sets that diffusion models are trained on: splits, domains, names, and what is refused."""

import io
import shutil
import tarfile
from pathlib import Path

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from PIL import Image

import replication.data
from replication import data, settings
from replication.data.images import pacs, stained, wild
from replication.settings.datasets import PACSDomains, Stained

QUICK, FULL, SMALL = (settings.load(name).datasets for name in ("quick", "full", "small"))
EMBEDDED = Path(replication.data.__file__).parent / "embedded" / "digits"


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets")
    for name in ("digits-lookalikes", "digits-inverted"):
        shutil.copytree(EMBEDDED, folder / name)
    return lambda name, **u: data.load(name, QUICK[name].model_copy(update=u), folder, 0)


def test_digits_are_tested_in_another_domain_first(digits):
    found = digits("digits-inverted")
    assert [*found.tests] == ["ood", "id"]
    assert (found.tests["ood"].inputs == 255 - found.tests["id"].inputs).all()
    assert (found.domains["plain"].inputs == found.train.inputs).all()
    assert len(found.everything) == 2 * 1797
    assert found.class_names == tuple("0123456789")


def test_some_classes_are_told_apart(digits):
    found = digits("digits-lookalikes")
    assert found.class_names == ("1", "3", "8", "9")
    assert [*found.tests] == ["test"]
    sizes = len(found.train) + len(found.validation) + len(found.tests["test"])
    assert len(found.everything) == 2 * sizes
    images, labels = np.load(EMBEDDED / "digits.npz").values()
    eights = images[labels == 8]
    picture = found.train.inputs[found.train.labels == 2][0, 0]
    assert (eights == picture).all((1, 2)).any()


def test_too_many_digits(digits):
    with pytest.raises(ValueError, match=r"train \+ validation <= 715 is expected, got 700 \+ 120"):
        digits("digits-lookalikes", train=700)


def archive(path, files):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz" if path.suffix == ".tgz" else "w") as out:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            out.addfile(info, io.BytesIO(content))


def jpeg(value, size=(20, 12)):
    written = io.BytesIO()
    Image.new("RGB", size, (value, value, value)).save(written, "JPEG")
    return written.getvalue()


def birds(inverted=False, each=8, listed_only=False):
    """Two classes with six training images each, and lists as the publisher has them, or as those
    of 100 classes are."""
    names = ["002.Laysan_Albatross", "001.Groove_billed_Ani"]
    files, rows = {}, {"images": [], "split": []}
    for k, name in enumerate(names):
        for i in range(each):
            image = f"{name}/{i:02}.jpg"
            files[f"cub/images/{image}"] = jpeg(100 * k + 10 * i)
            rows["images"].append(image)
            rows["split"].append(str(int((i < 6) != inverted)))
    gap = ", " if inverted else " "
    for key, file in (("images", "images.txt"), ("split", "train_test_split.txt")):
        text = "".join(f"{i}{gap}{row}\n" for i, row in enumerate(rows[key], 1))
        files[f"cub/{file}"] = text.encode()
    files["cub/classes.txt"] = "".join(f"{i} {n}\n" for i, n in enumerate(names)).encode()
    if listed_only:
        del files[f"cub/images/{rows['images'][3]}"]
    return files


@pytest.mark.parametrize("name", ["cub", "cub100"])
def test_birds_are_split_as_the_lists_say_and_the_last_held_out(tmp_path, name):
    source = (FULL | SMALL)[name].model_copy(update={"held_out": 2, "side": 8})
    archive(tmp_path / name / source.archive, birds(inverted=name == "cub100"))
    found = data.load(name, source, tmp_path, 0)
    assert found.class_names == ("Groove billed Ani", "Laysan Albatross")
    assert found.train.inputs.shape == (8, 3, 8, 8)
    values = {part: getattr(found, part).inputs[:, 0, 4, 4].tolist() for part in
              ("train", "validation")}  # fmt: skip
    near = {part: [round(v, -1) for v in of] for part, of in values.items()}
    assert near == {
        "train": [100, 110, 120, 130, 0, 10, 20, 30],
        "validation": [140, 150, 40, 50],
    }
    assert len(found.tests["test"]) == 4
    (tmp_path / name / source.archive).touch()
    again = data.load(name, source, tmp_path, 0)
    assert (again.train.inputs == found.train.inputs).all()


def test_an_image_that_a_list_names_and_that_is_not_there(tmp_path):
    source = FULL["cub"].model_copy(update={"held_out": 2, "side": 8})
    archive(tmp_path / "cub" / source.archive, birds(listed_only=True))
    with pytest.raises(ValueError, match=r"03\.jpg is not there, and images\.txt names it"):
        data.load("cub", source, tmp_path, 0)


def test_an_archive_of_something_else(tmp_path):
    source = FULL["cub"]
    archive(tmp_path / "cub" / source.archive, {"a/b.txt": b"1 2\n"})
    with pytest.raises(ValueError, match=r"no images\.txt in it; CUB-200-2011's archive"):
        data.load("cub", source, tmp_path, 0)


SPLIT = "cub/train_test_split.txt"


@pytest.mark.parametrize(
    ("file", "damage", "message"),
    [
        ("cub/images.txt", (b"3 ", b""), r"images\.txt: line 3: a number and CLASS/FILE"),
        ("cub/images.txt", (b"3 ", b"x3 "), r"images\.txt: line 3: .* got 'x3 002\."),
        ("cub/images.txt", (b"4 ", b"3 "), r"images\.txt: line 4: number 3 stands above"),
        ("cub/images.txt", (b"/03.jpg", b""), r"images\.txt: line 4: .* CLASS/FILE"),
        ("cub/images.txt", (b"/03.jpg", b"/02.jpg"), r"names 002.*/02\.jpg 2 times"),
        ("cub/images.txt", (b"jpg", b"\xff"), r"images\.txt: no UTF-8 text"),
        ("cub/images.txt", (None, b"\n"), r"images\.txt: empty"),
        (SPLIT, (b"3 1", b"3"), r"split\.txt: line 3: a number and 0 or 1"),
        (SPLIT, (b"3 1", b"3 2"), r"split\.txt: line 3: .* got '3 2'"),
        (SPLIT, (b"3 1\n", b""), r"number 3 is in images\.txt and not in train_test_split"),
        (
            SPLIT,
            (b"16 0", b"16 0\n99 1"),
            r"number 99 is in train_test_split\.txt and not in images",
        ),
        (SPLIT, (b" 0", b" 1"), r"train_test_split\.txt parts nothing"),
        ("cub/classes.txt", (None, b""), r"classes\.txt: empty"),
    ],
)
def test_an_odd_list_of_birds_is_named(tmp_path, file, damage, message):
    source, files = FULL["cub"].model_copy(update={"held_out": 2, "side": 8}), birds()
    old, new = damage
    files[file] = new if old is None else files[file].replace(old, new)
    archive(tmp_path / "cub" / source.archive, files)
    with pytest.raises(ValueError, match=message) as caught:
        data.load("cub", source, tmp_path, 0)
    assert str(caught.value).startswith(f"{tmp_path / 'cub' / source.archive}: ")
    assert str(caught.value).endswith("; take the published archive again")


TINY = birds(each=4)


@hypothesis.given(st.data())
@hypothesis.settings(max_examples=40, deadline=None)
def test_whatever_a_list_of_birds_has_it_is_read_or_refused(tmp_path_factory, drawn):
    folder = tmp_path_factory.mktemp("birds")
    source, files = FULL["cub"].model_copy(update={"held_out": 1, "side": 4}), dict(TINY)
    file = drawn.draw(st.sampled_from(["cub/images.txt", SPLIT, "cub/classes.txt"]))
    lines = files[file].splitlines(keepends=True)
    at = drawn.draw(st.integers(0, len(lines) - 1))
    lines[at] = drawn.draw(st.binary(max_size=12) | st.sampled_from([*lines, b"3 0\n", b"\n"]))
    files[file] = b"".join(lines)
    archive(path := folder / "cub" / source.archive, files)
    assert outcome(source, folder).startswith((f"{path}: ", "8 images"))


def outcome(source, folder):
    """The error's message, or the number of images."""
    try:
        found = data.load("cub", source, folder, 0)
    except ValueError as error:
        return str(error)
    return f"{len(found.everything)} images"


@pytest.fixture
def subset(tmp_path, monkeypatch):
    """A folder of WILDS with three images of each list, and the lists."""
    root = tmp_path / "wilds" / "iwildcam_v2.0"
    (root / "train").mkdir(parents=True)
    for name in ("metadata.csv", "categories.csv", "RELEASE_v2.0.txt"):
        (root / name).write_text("")
    lists = tmp_path / "sets" / "iwildcam-mini"
    lists.mkdir(parents=True)
    for i, file in enumerate(wild.LISTS.values()):
        rows = pd.DataFrame({"y": [0, 24, 52], "filename": [f"{i}-{k}.jpg" for k in range(3)]})
        rows.to_csv(lists / file)
        for k, image in enumerate(rows["filename"]):
            (root / "train" / image).write_bytes(jpeg(20 * i + 70 * k))
    monkeypatch.setenv("SAFLEX_WILDS", str(tmp_path / "wilds"))
    return tmp_path


def load_subset(folder):
    source = FULL["iwildcam-mini"].model_copy(update={"side": 8})
    return data.load("iwildcam-mini", source, folder / "sets", 0)


def test_the_subset_of_iwildcam_follows_its_lists(subset):
    found = load_subset(subset)
    assert [*found.tests] == ["ood", "extra"]
    assert found.train.labels.tolist() == [0, 1, 6]
    assert found.tests["ood"].inputs[:, 0, 0, 0].tolist() == pytest.approx([40, 110, 180], abs=2)
    assert found.class_names[6] == "dik-diks"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("missing", r"2-1\.jpg: no such file; test_subset\.csv names it"),
        ("truncated", r"2-1\.jpg: not a readable picture"),
        ("class", r"val_subset\.csv: row 2: class 7 is none"),
        ("folder", r"SAFLEX_WILDS names a folder with iwildcam_v2\.0/"),
        ("list", r"val_subset\.csv: no such file"),
        (b"", r"val_subset\.csv: no CSV \(No columns to parse from file\); delete the list"),
        (b"y\n1\n", r"val_subset\.csv: no column 'filename'; delete the list"),
        (b"y,filename\n", r"val_subset\.csv: no row; delete the list"),
        (b"y,filename\n0,\n", r"val_subset\.csv: row 1: no filename; delete the list"),
        (b"y,filename\n0,a\n0,b,c\n", r"val_subset\.csv: no CSV \(.*line 3.*\); delete"),
        (b"y,filename\nx,a.jpg\n", r"val_subset\.csv: row 1: class x is none of \[0, 24,"),
        (b"y,filename\n0,a\nx,a\n", r"val_subset\.csv: row 2: class x is none of \[0, 24,"),
        (
            b"y,filename\n0,../a\n",
            r"val_subset\.csv: row 1: \.\./a leads out of the folder; delete",
        ),
        (b"y,filename\n0,/a\n", r"val_subset\.csv: row 1: /a leads out of the folder; delete"),
        (b"y,filename\n0,\xff\n", r"val_subset\.csv: no CSV \(.*utf-8"),
    ],
)
def test_what_is_wrong_with_the_subset_is_named(subset, damage, message):
    images = subset / "wilds" / "iwildcam_v2.0" / "train"
    lists = subset / "sets" / "iwildcam-mini"
    match damage:
        case "missing":
            (images / "2-1.jpg").unlink()
        case "truncated":
            (images / "2-1.jpg").write_bytes(jpeg(0)[:60])
        case "class":
            path = lists / wild.LISTS["validation"]
            pd.read_csv(path, index_col=0).assign(y=[0, 7, 24]).to_csv(path)
        case "folder":
            shutil.rmtree(images)
        case "list":
            (lists / wild.LISTS["validation"]).unlink()
        case bytes():
            (lists / wild.LISTS["validation"]).write_bytes(damage)
    with pytest.raises((ValueError, FileNotFoundError, data.DataError), match=message):
        load_subset(subset)


def test_photographs_are_tested_on_the_other_domains(tmp_path):
    files = {
        f"pacs/{domain}/{label}/{i}.jpg": jpeg(60 * d + i, (8, 8))
        for d, domain in enumerate(pacs.DOMAINS)
        for label in pacs.CLASSES
        for i in range(10)
    }
    archive(tmp_path / "pacs-photo" / pacs.FILE, files)
    source = PACSDomains(
        kind="pacs-domains", domain="cartoon", validation=0.2, test=0.3, split_seed=0
    )
    found = data.load("pacs-photo", source, tmp_path, 0)
    sizes = len(found.train), len(found.validation), len(found.tests["id"])
    assert sizes == (35, 14, 21)
    own = np.concatenate([found.train.inputs, found.validation.inputs, found.tests["id"].inputs])
    assert set(np.unique(own.mean((1, 2, 3)).round())) <= {*range(119, 131)}
    assert len(found.tests["ood"]) == 3 * 70


def test_another_stain_moves_colours_and_leaves_grey(tmp_path, monkeypatch):
    random = np.random.default_rng(0)
    arrays = {}
    for part, n in (("train", 24), ("val", 8), ("test", 16)):
        arrays[f"{part}_images"] = random.integers(0, 256, (n, 28, 28, 3)).astype(np.uint8)
        arrays[f"{part}_labels"] = (np.arange(n) % 8)[:, None]
    arrays["test_images"][0] = 77
    folder = tmp_path / "pbc-blood-stained"
    folder.mkdir()
    np.savez(folder / "pbc-blood-stained.npz", **arrays)
    source = Stained(kind="stained", own=True)
    found = data.load("pbc-blood-stained", source, tmp_path, 0)
    assert [*found.tests] == ["ood", "id"]
    assert (found.tests["ood"].inputs[0] == 77).all()
    red, green, blue = (found.tests["id"].inputs[1, c].astype(float) for c in range(3))
    mixed = (0.25 * red + 0.75 * green, 0.35 * red + 0.65 * green, 0.2 * green + 0.8 * blue)
    assert np.abs(found.tests["ood"].inputs[1] - np.stack(mixed)).max() <= 0.5 + 1e-4
    assert len(found.everything) == 2 * 48
    assert [*found.domains] == ["plain", "stained"]
    assert len(stained.NAMES) == found.classes
