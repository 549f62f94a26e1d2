"""Pictures in folders, archives and tables become a set, and what is wrong is named."""

import io
import os
import re
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib
from pathlib import Path

import medmnist
import numpy as np
import pytest
from PIL import Image

from replication import data, settings
from replication.data.images.build import build, main
from replication.data.images.collection import Table
from replication.data.images.medmnist import PARTS
from replication.data.images.shares import draw, quotas
from replication.data.sources import DataError
from replication.settings.datasets import MedMNIST

ROOT = Path(__file__).parents[3]
OWN = MedMNIST(kind="medmnist", own=True)


@pytest.fixture(autouse=True)
def inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def picture(number, mode="RGB", size=(40, 30)):
    """A picture whose first pixel tells its number."""
    shape = (size[1], size[0]) + ((3,) if mode == "RGB" else ())
    pixels = np.random.default_rng(number).integers(0, 256, shape, np.uint8)
    return Image.fromarray(pixels)


def png(image):
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def classes(counts=(("cat", 20), ("dog", 10), ("ant", 10)), mode="RGB", top="pets/"):
    """Path -> bytes of a folder for each class."""
    names = [f"{top}{name}/{i:03}.png" for name, count in counts for i in range(count)]
    return {name: png(picture(i, mode)) for i, name in enumerate(names)}


def folder(files, name="source"):
    for path, content in files.items():
        Path(name, path).parent.mkdir(parents=True, exist_ok=True)
        Path(name, path).write_bytes(content)
    return Path(name)


def zipped(files, name="source.zip"):
    with zipfile.ZipFile(name, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in files.items():
            archive.writestr(path, content)
    return Path(name)


def tarred(files, name="source.tar.gz"):
    with tarfile.open(name, "w:gz" if name.endswith("gz") else "w") as archive:
        for path, content in files.items():
            info = tarfile.TarInfo(path)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return Path(name)


def arrays(path):
    with np.load(path, allow_pickle=False) as file:
        return dict(file)


def rows(found, parts=PARTS):
    """Every image, as bytes, with its label."""
    return [
        (image.tobytes(), int(label))
        for part in parts
        for image, label in zip(found[f"{part}_images"], found[f"{part}_labels"][:, 0], strict=True)
    ]


def expected(files, size=28, centre=None, names=("ant", "cat", "dog")):
    found = []
    for path, content in files.items():
        image = Image.open(io.BytesIO(content))
        if centre:
            left, top = (image.width - centre) // 2, (image.height - centre) // 2
            image = image.crop((left, top, left + centre, top + centre))
        small = np.asarray(image.resize((size, size), Image.Resampling.BICUBIC))
        found.append((small.tobytes(), names.index(path.split("/")[-2])))
    return found


def refused(message, *arguments, **options):
    """The one paragraph that a build ends in; nothing is written."""
    with pytest.raises(DataError, match=message) as caught:
        build(*arguments, **options)
    assert len(str(caught.value).splitlines()) == 1
    assert not list(Path().glob("data/own/*/*"))
    return str(caught.value)


# ---- folders and archives ------------------------------------------------------------------------
@pytest.mark.parametrize("packed", [folder, zipped, tarred])
@pytest.mark.parametrize(("size", "centre"), [(28, None), (28, 20), (8, 30), (50, None)])
def test_pixels_are_pillows_and_every_picture_is_in_one_split(packed, size, centre):
    files = classes()
    found = arrays(build([packed(files)], "pets", size=size, centre=centre))
    assert sorted(rows(found)) == sorted(expected(files, size, centre))
    assert [found[f"{part}_images"].shape for part in PARTS] == [
        (n, size, size, 3) for n in (28, 4, 8)
    ]
    assert all(found[f"{p}_labels"].dtype == np.uint8 for p in PARTS)
    assert [np.bincount(found[f"{p}_labels"][:, 0]).tolist() for p in PARTS] == [
        [7, 14, 7],
        [1, 2, 1],
        [2, 4, 2],
    ]
    assert found["classes"].tolist() == ["ant", "cat", "dog"]


def test_the_loader_gives_the_same_images(capsys):
    path = build([folder(classes())], "pets", size=32)
    found, dataset = arrays(path), data.load("pets", OWN, path.parents[1], seed=0)
    for part, split in (
        ("train", dataset.train),
        ("val", dataset.validation),
        ("test", dataset.tests["test"]),
    ):
        assert (split.inputs == found[f"{part}_images"].transpose(0, 3, 1, 2)).all()
        assert (split.labels == found[f"{part}_labels"][:, 0]).all()
    said = capsys.readouterr().out
    assert "40 images (28 train, 4 val, 8 test), 32 x 32 pixels, RGB" in said
    assert "pets: {kind: medmnist, own: true}" in said
    assert ["1", "cat", "14", "2", "4"] in [line.split() for line in said.splitlines()]


def test_grey_pictures_stay_grey_unless_one_is_not():
    files = classes(mode="L")
    found = arrays(build([folder(files)], "pets"))
    assert found["train_images"].shape == (28, 28, 28)
    assert sorted(rows(found)) == sorted(expected(files))
    Path("source/pets/ant/000.png").write_bytes(png(picture(1)))
    assert arrays(build([Path("source")], "pets"))["train_images"].shape == (28, 28, 28, 3)


def test_the_same_input_gives_the_same_bytes_however_it_is_packed(monkeypatch):
    files = classes()
    first = build([folder(files)], "pets").read_bytes()
    monkeypatch.setattr("time.time", lambda: 2e9)
    backwards = dict(reversed(files.items()))
    for source in (zipped(backwards), tarred(backwards), tarred(files, "other.tar")):
        assert build([source], "pets").read_bytes() == first
    assert build([Path("source")], "pets", seed=1).read_bytes() != first
    with zipfile.ZipFile("data/own/pets/pets.npz") as archive:
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_sizes_are_exact_and_the_rest_is_left_out(capsys):
    found = arrays(build([folder(classes())], "pets", sizes=(12, 4, 8)))
    assert [len(found[f"{part}_labels"]) for part in PARTS] == [12, 4, 8]
    assert [np.bincount(found[f"{p}_labels"][:, 0]).tolist() for p in PARTS] == [
        [3, 6, 3],
        [1, 2, 1],
        [2, 4, 2],
    ]
    assert len(set(rows(found))) == 24
    assert "16 left out" in capsys.readouterr().out


def test_classes_that_are_numbers_are_sorted_by_value(capsys):
    build([folder(classes((("10", 5), ("9", 5), ("b", 5))))], "pets")
    assert arrays("data/own/pets/pets.npz")["classes"].tolist() == ["9", "10", "b"]


def test_what_systems_leave_in_folders_is_no_picture():
    files = classes()
    strays = ("pets/.DS_Store", "pets/cat/Thumbs.db", "__MACOSX/pets/cat/._000.png", "README.md")
    strays += ("pets/dog/.DS_169665.jpg", "LICENSE", "pets/cat/desktop.ini", "labels.csv")
    for packed in (folder, zipped, tarred):
        found = arrays(build([packed(files | dict.fromkeys(strays, b"junk"))], "pets"))
        assert sorted(rows(found)) == sorted(expected(files))


def test_several_sources_are_one_set():
    files = classes()
    halves = [dict(list(files.items())[i::2]) for i in range(2)]
    sources = [zipped(halves[0], "a.zip"), zipped(halves[1], "b.zip")]
    assert sorted(rows(arrays(build(sources, "pets")))) == sorted(expected(files))
    alone = {name: {} for name in ("ant", "cat", "dog")}
    for path, content in files.items():
        alone[path.split("/")[1]][path.split("/")[2]] = content
    sources = [zipped(files, f"{name}.zip") for name, files in alone.items()]
    assert sorted(rows(arrays(build(sources, "pets")))) == sorted(expected(files))


# ---- splits --------------------------------------------------------------------------------------
@pytest.mark.parametrize("tops", [("train", "val", "test"), ("Training", "valid", "Testing")])
@pytest.mark.parametrize("top", ["", "deep/down/"])
def test_splits_that_are_given_stay(tops, top):
    counts = (("cat", 6), ("dog", 5))
    files = classes(tuple((f"{part}/{name}", n) for part in tops for name, n in counts), top=top)
    found = arrays(build([folder(files)], "pets"))
    for part, name in zip(PARTS, tops, strict=True):
        mine = {path: content for path, content in files.items() if f"{name}/" in path}
        assert sorted(rows(found, [part])) == sorted(expected(mine, names=("cat", "dog")))


def test_without_validation_it_is_drawn_from_training():
    counts = (("train/cat", 16), ("train/dog", 8), ("test/cat", 3), ("test/dog", 3))
    files = classes(counts, top="")
    found = arrays(build([zipped(files)], "pets"))
    test = {path: content for path, content in files.items() if path.startswith("test")}
    assert sorted(rows(found, ["test"])) == sorted(expected(test, names=("cat", "dog")))
    assert np.bincount(found["val_labels"][:, 0]).tolist() == [2, 1]
    assert len(set(rows(found))) == len(files)
    sources = [zipped({p: c for p, c in files.items() if p.startswith(top)}, f"{top}.zip")
               for top in ("train", "test")]  # fmt: skip
    again = arrays(build(sources, "pets"))
    assert sorted(rows(again, ["test"])) == sorted(rows(found, ["test"]))


@pytest.mark.parametrize("groups", [None, "every image alone"])
@pytest.mark.parametrize("sizes", [[70, 10, 20, 0], [7, 3, 5, 85], [1, 1, 98, 0]])
def test_draws_are_disjoint_exact_and_as_stratified_as_numbers_allow(groups, sizes):
    labels = np.repeat(np.arange(4), [60, 30, 9, 1])
    groups = None if groups is None else np.arange(100)
    parts = draw(labels, groups, sizes, np.random.default_rng(0))
    assert [len(part) for part in parts] == sizes
    assert sorted(np.concatenate(parts)) == list(range(100))
    counts = np.stack([np.bincount(labels[part], minlength=4) for part in parts])
    assert (np.abs(counts - np.outer(sizes, [60, 30, 9, 1]) / 100) < 1).all()


def test_quotas_keep_both_sums():
    random = np.random.default_rng(0)
    for _ in range(200):
        counts = random.integers(0, 50, random.integers(2, 9))
        cuts = np.sort(random.integers(0, counts.sum() + 1, 3))
        sizes = np.diff(cuts, prepend=0, append=counts.sum())
        if not counts.sum():
            continue
        found = quotas(counts, sizes)
        assert (found >= 0).all()
        assert (found.sum(0) == counts).all()
        assert (found.sum(1) == sizes).all()


def test_a_group_is_in_one_split_and_large_ones_are_in_all():
    random = np.random.default_rng(0)
    owners = np.repeat(np.arange(700), random.choice([1, 1, 2, 4], 700))
    labels = (owners % 10 >= 7).astype(np.int64)
    sizes = [len(owners) - 100 - 250, 100, 250]
    parts = draw(labels, owners, sizes, np.random.default_rng(1))
    assert [len(part) for part in parts] == sizes
    assert sorted(np.concatenate(parts)) == list(range(len(owners)))
    of = [set(owners[part]) for part in parts]
    assert len(of[0] | of[1] | of[2]) == sum(map(len, of))
    for part in parts:
        assert abs(labels[part].mean() - labels.mean()) < 0.02
        assert 0.2 < (np.bincount(owners)[owners[part]] == 4).mean() < 0.8


# ---- tables --------------------------------------------------------------------------------------
HAM = Table(Path("metadata.csv"), "image_id", "dx", "lesion_id")


def ham(lesions=30, separator=",", quote=""):
    """HAM10000's layout: flat pictures in two archives, and a table."""
    kinds, lines, files = ("nv", "nv", "mel"), [["lesion_id", "image_id", "dx", "age"]], {}
    for lesion in range(lesions):
        for i in range(1 + lesion % 3):
            name = f"ISIC_{lesion:03}{i}"
            lines.append([f"HAM_{lesion:03}", name, kinds[lesion // 3 % 3], ""])
            files[f"{name}.jpg"] = png(picture(3 * lesion + i))
    text = "\n".join(separator.join(f"{quote}{x}{quote}" for x in line) for line in lines) + "\n"
    Path("metadata.csv").write_text(text)
    names = sorted(files)
    zipped({name: files[name] for name in names[::2]}, "part_1.zip")
    zipped({name: files[name] for name in names[1::2]}, "part_2.zip")
    return files, lines[1:], [Path("part_1.zip"), Path("part_2.zip")]


@pytest.mark.parametrize(("separator", "quote"), [(",", ""), ("\t", '"'), (";", "")])
def test_a_table_gives_classes_and_keeps_groups_together(separator, quote):
    files, lines, sources = ham(separator=separator, quote=quote)
    found = arrays(build(sources, "skin", HAM, sizes=(42, 6, 12)))
    assert found["classes"].tolist() == ["mel", "nv"]
    small = {content: np.asarray(Image.open(io.BytesIO(content)).resize((28, 28), 3)).tobytes()
             for content in files.values()}  # fmt: skip
    truth = {small[files[f"{image}.jpg"]]: (lesion, ["mel", "nv"].index(dx))
             for lesion, image, dx, _ in lines}  # fmt: skip
    lesions = {}
    for part in PARTS:
        for pixels, label in rows(found, [part]):
            lesion, expected_label = truth[pixels]
            assert label == expected_label
            assert lesions.setdefault(lesion, part) == part
    assert [len(found[f"{p}_labels"]) for p in PARTS] == [42, 6, 12]
    assert len(set(rows(found))) == 60


def test_a_table_may_name_files_with_folder_or_suffix_and_leave_some_out():
    files = classes((("a", 8), ("b", 8)), top="")
    lines = [f"{path},{'yes' if i % 2 else 'NA'}" for i, path in enumerate(files) if i != 3]
    Path("labels.csv").write_text("\ufefffile,y\n" + "\n".join(lines))
    table = Table(Path("labels.csv"), "file", "y")
    found = arrays(build([folder(files)], "pets", table))
    assert found["classes"].tolist() == ["NA", "yes"]
    assert len(rows(found)) == 15


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a readable table"),
        ("image_id,lesion_id\nISIC_0000,x\n", r"no column 'dx'\. --label is one of image_id, les"),
        ("image_id,dx,lesion_id\nISIC_0000,nv,a,b,c\n", "more fields than its header"),
        ("image_id,dx,lesion_id\nISIC_0000,nv,a\nISIC_0010,nv,a,b\n", "not a readable table"),
        ("image_id,dx,lesion_id\nISIC_0000, ,a\n", "row 1 has nothing in 'dx'"),
        ("image_id,dx,lesion_id\nISIC_0000,nv\n", "row 1 has nothing in 'lesion_id'"),
        ("image_id,dx,lesion_id\nISIC_0000,nv,a\nISIC_x,nv,a\n", "row 2: ISIC_x is no picture"),
        ("image_id,dx,lesion_id\nISIC_0000,nv,a\nISIC_0000.jpg,nv,a\n", "row 2: .* second time"),
        ("image_id,dx,lesion_id\nISIC_0000,nv,a\n", r"1 classes \(nv\)"),
        ("image_id,dx,lesion_id\n", "0 classes"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(text, message):
    _, _, sources = ham()
    Path("metadata.csv").write_text(text)
    refused(message, sources, "skin", HAM)


def test_other_tables_that_do_not_fit():
    _, _, sources = ham()
    Path("metadata.csv").write_bytes(b"\xff\xfe\x00image_id")
    refused(r"metadata\.csv: not a readable table", sources, "skin", HAM)
    Path("metadata.csv").unlink()
    refused(r"metadata\.csv: not a readable table", sources, "skin", HAM)
    files = classes((("a", 3), ("b", 3)), top="")
    Path("metadata.csv").write_text("image_id,dx,lesion_id\n000,nv,a\n")
    refused(r"000 are two pictures: a/000\.png, b/000\.png", [folder(files)], "skin", HAM)


def test_a_whole_path_is_no_tail_of_another():
    files = classes((("a", 4), ("deep/a", 4)), top="")
    lines = [f"{path},{'deep' if 'deep' in path else 'flat'}" for path in files]
    Path("labels.csv").write_text("\n".join(["file,y", *lines]))
    found = arrays(build([folder(files)], "pets", Table(Path("labels.csv"), "file", "y")))
    assert len(set(rows(found))) == 8


def test_groups_that_cannot_be_kept_are_refused():
    files = classes((("train/a", 4), ("test/a", 2)), top="")
    lines = "".join(f"{path},{i % 2},{i % 3}\n" for i, path in enumerate(files))
    Path("metadata.csv").write_text("image_id,dx,lesion_id\n" + lines)
    given = folder(files, "given")
    refused("group . is in (train|val) and in test", [given], "skin", HAM, sizes=(3, 1, 2))
    files = classes((("a", 4), ("b", 4)), top="")
    lines = "".join(f"{path},{path[0]},{path[0]}\n" for path in files)
    Path("metadata.csv").write_text("image_id,dx,lesion_id\n" + lines)
    message = r"whole groups do not make \[6, 1, 1\]; nearest"
    refused(message, [folder(files)], "skin", HAM, sizes=(6, 1, 1))


# ---- CIFAR-10 ------------------------------------------------------------------------------------
CIFAR = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def cifar(train=60, test=20, names=True):
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (train + test, 3, 32, 32), np.uint8)
    labels = np.arange(train + test, dtype=np.uint8) % 10
    records = np.column_stack([labels, pixels.reshape(train + test, -1)])
    half = train // 2
    top = "cifar-10-batches-bin/"
    files = {
        f"{top}data_batch_1.bin": records[:half].tobytes(),
        f"{top}data_batch_2.bin": records[half:train].tobytes(),
        f"{top}readme.html": b"<html>",
        f"{top}test_batch.bin": records[train:].tobytes(),
    }
    if names:
        files |= {f"{top}batches.meta.txt": ("\n".join(CIFAR) + "\n\n").encode()}
    return files, pixels.transpose(0, 2, 3, 1), labels


@pytest.mark.parametrize("packed", [tarred, folder])
@pytest.mark.parametrize("names", [True, False])
def test_cifar_10_as_its_publisher_has_it(packed, names):
    files, pixels, labels = cifar(names=names)
    found = arrays(build([packed(files)], "cifar", size=32, sizes=(40, 20, 10)))
    every = [(image.tobytes(), label) for image, label in zip(pixels, labels.tolist(), strict=True)]
    assert set(rows(found, ["train", "val"])) == set(every[:60])
    assert set(rows(found, ["test"])) < set(every[60:])
    assert [np.bincount(found[f"{p}_labels"][:, 0]).tolist() for p in PARTS] == [
        [n] * 10 for n in (4, 2, 1)
    ]
    assert found["classes"].tolist() == (CIFAR if names else [str(i) for i in range(10)])
    small = arrays(build([Path("source" if packed is folder else "source.tar.gz")], "cifar"))
    sizes = [len(small[f"{part}_labels"]) for part in PARTS]
    assert sizes == [52, 8, 20]
    shrunk = {np.asarray(Image.fromarray(i).resize((28, 28), 3)).tobytes() for i in pixels}
    assert {pixels for pixels, _ in rows(small)} == shrunk


def test_cifar_10_that_is_damaged_or_pickled_is_refused():
    files, _, _ = cifar()
    name = "cifar-10-batches-bin/data_batch_1.bin"
    for content in (files[name][:-1], b"", b"\x0a" + files[name][1:]):
        refused(r"data_batch_1\.bin is not made of records", [tarred(files | {name: content})], "c")
    beside = files | {"a/1.png": png(picture(0))}
    refused("has images and labels, and there is", [tarred(beside)], "c")
    refused("has images and labels, and there is --labels", [tarred(files)], "c", HAM)
    pickled = {"cifar-10-batches-py/data_batch_1": b"\x80\x04"}
    refused("of CIFAR-10 take the binary version", [tarred(pickled)], "c")


# ---- what is refused -----------------------------------------------------------------------------
def header(width, height):
    """A PNG that says it has so many pixels, and has none."""

    def chunk(kind, content):
        sum_ = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + sum_

    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", zlib.compress(b""))


def animated():
    file = io.BytesIO()
    picture(0).save(file, "GIF", save_all=True, append_images=[picture(1), picture(2)])
    return file.getvalue()


TRANSPARENT = picture(0).convert("RGBA")
TRANSPARENT.putalpha(100)
WRONG = {
    "cat/x.png": [
        (b"", r"cat/x\.png: not a readable picture"),
        (b"<html>", "not a readable picture .it is no PNG"),
        (png(picture(0))[:1000], "not a readable picture"),
        (header(20_000, 20_000), "more than 100,000,000 pixels"),
        (header(10_001, 10_000), "10001 x 10000, more than 100,000,000 pixels"),
        (header(50, 50), "not a readable picture"),
        (png(TRANSPARENT), "transparent pixels"),
        (png(Image.fromarray(np.zeros((9, 9), np.uint16))), "pixels of type I;16"),
    ],
    "cat/x.gif": [(animated(), "3 frames")],
    "cat/x.npy": [(b"x", r"cat/x\.npy is no picture that can be read")],
    "cat/x.zip": [(b"x", r"cat/x\.zip is no picture")],
    "x.png": [(png(picture(0)), r"x\.png is in no folder of a class")],
}


CASES = [(name, *case) for name, of in WRONG.items() for case in of]


@pytest.mark.parametrize(
    ("name", "content", "message"), CASES, ids=[f"{i}-{case[0]}" for i, case in enumerate(CASES)]
)
def test_a_file_that_is_no_picture_is_named(name, content, message):
    for packed in (folder, zipped, tarred):
        files = classes(top="") | {name: content}
        said = refused(message, [packed(files)], "pets")
        assert name in said


def test_opaque_alpha_palettes_and_turned_photographs_are_pictures():
    turned = picture(3)
    exif = turned.getexif()
    exif[0x0112] = 6
    file = io.BytesIO()
    turned.save(file, "PNG", exif=exif)
    extra = {"cat/a.png": png(picture(1).convert("RGBA")), "cat/b.png": file.getvalue()}
    extra |= {"cat/c.png": png(picture(2).quantize(16))}
    files = classes((("cat", 5), ("dog", 5)), top="")
    found = {pixels for pixels, _ in rows(arrays(build([folder(files | extra)], "pets")))}
    for image in (
        picture(1),
        turned.transpose(Image.Transpose.ROTATE_270),
        picture(2).quantize(16).convert("RGB"),
    ):
        assert np.asarray(image.resize((28, 28), 3)).tobytes() in found


@pytest.mark.parametrize(
    "name", ["../x.png", "/etc/x.png", "cat/../../x.png", "C:/x.png", "a\\x.png"]
)
def test_a_member_that_leaves_its_folder_is_refused(name):
    files = classes(top="") | {name: png(picture(0))}
    for packed in (zipped, tarred):
        refused("leads out of its folder", [packed(files)], "pets")


def test_links_and_what_is_no_file_are_refused(tmp_path):
    files = classes(top="")
    source = folder(files)
    for target in ("cat/000.png", "cat", "nowhere"):
        link = source / "dog/link.png"
        link.symlink_to(tmp_path / "source" / target)
        refused(r"dog/link\.png is a link", [source], "pets")
        link.unlink()
    os.mkfifo(source / "dog/pipe.png")
    refused(r"dog/pipe\.png is a link or no file", [source], "pets")
    info = zipfile.ZipInfo("dog/link.png")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(zipped(files), "a") as archive:
        archive.writestr(info, "../../secret.png")
    refused(r"dog/link\.png is a link", [Path("source.zip")], "pets")
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE):
        with tarfile.open(tarred(files, "source.tar"), "a") as archive:
            info = tarfile.TarInfo("dog/link.png")
            info.type, info.linkname = kind, "cat/000.png"
            archive.addfile(info)
        refused(r"dog/link\.png is a link", [Path("source.tar")], "pets")


def test_a_member_that_unpacks_to_too_much_is_refused(monkeypatch):
    monkeypatch.setattr("replication.data.images.members.LARGEST", 2**20)
    files = classes(top="") | {"cat/x.png": bytes(2**20 + 1)}
    for packed in (folder, zipped, tarred):
        refused(r"cat/x\.png has more than 1,048,576 bytes", [packed(files)], "pets")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_other_sources_that_cannot_be_taken():
    files = classes(top="")
    refused("no such file or folder", [Path("nowhere")], "pets")
    Path("text.zip").write_text("no archive")
    refused(r"text\.zip: neither a folder nor", [Path("text.zip")], "pets")
    refused("no picture in it", [zipped({"a/readme.txt": b""})], "pets")
    refused("1 classes", [zipped(classes((("cat", 5),)))], "pets")
    with zipfile.ZipFile(zipped(files), "a") as archive:
        archive.writestr("cat/000.png", b"again")
    refused(r"cat/000\.png is twice", [Path("source.zip")], "pets")
    raw = bytearray(zipped(files).read_bytes())
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    Path("locked.zip").write_bytes(raw)
    refused("is encrypted", [Path("locked.zip")], "pets")
    sources = [zipped(files, "a.zip"), folder(files, "deep/a")]
    refused("is in a.zip as well", sources, "pets")
    many = {f"{i}/1.png": png(picture(0, size=(8, 8))) for i in range(257)}
    refused("257 classes", [zipped(many)], "pets")
    refused("cannot be printed", [zipped({"a\nb/1.png": b""})], "pets")
    refused(r"40 x 30 pixels have no centre of 31", [zipped(files)], "pets", centre=31)


@pytest.mark.parametrize("packed", ["source.zip", "source.tar", "source.tar.gz"])
def test_damage_anywhere_in_an_archive_is_one_line_or_changes_nothing(packed):
    pack = zipped if packed.endswith("zip") else tarred
    files = classes((("a", 6), ("b", 6)), top="")
    whole = pack(files, packed).read_bytes()
    right = build([Path(packed)], "pets").read_bytes()
    random, messages = np.random.default_rng(0), []
    for kind in range(40):
        damaged = bytearray(whole[: random.integers(len(whole))] if kind % 2 else whole)
        if not kind % 2:
            damaged[random.integers(len(damaged))] ^= 255
        Path(packed).write_bytes(damaged)
        try:
            found = build([Path(packed)], "pets").read_bytes()
        except DataError as error:
            messages.append(str(error))
        else:
            assert not kind % 2 or found == right  # a whole file of another name or value
    assert len(messages) > 20
    for message in messages:
        assert len(message.splitlines()) == 1
        assert message.startswith((packed, "a/", "b/"))


@pytest.mark.parametrize(
    ("tops", "message"),
    [
        (("train/a", "train/b", "val/a", "val/b"), "train and val without test"),
        (("val/a", "val/b", "test/a", "test/b"), "test and val without train"),
        (("train/a", "train/b", "test/a", "more/b"), r"more/b/\S+ is in none"),
        (("train/a", "train/b", "test/a", "test/c"), "class c: no image of it in train"),
        (("train", "test"), "in test, the name of a split, and in no folder of a class"),
    ],
)
def test_splits_that_are_incomplete_are_refused(tops, message):
    files = classes(tuple((top, 3) for top in tops), top="")
    refused(message, [zipped(files)], "pets")


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((30, 5, 6), r"train \+ val \+ test = 30 \+ 5 \+ 6 of 40 images"),
        ((30, 0, 6), "At least one each"),
        ((-1, 5, 6), "At least one each"),
        ((1, 1, 2), "no image of it in train"),
    ],
)
def test_sizes_that_cannot_be_drawn_are_refused(sizes, message):
    refused(message, [folder(classes())], "pets", sizes=sizes)


@pytest.mark.parametrize("name", ["", "../pets", "a b", ".pets", "x" * 65])
def test_a_name_that_no_entry_can_have_is_refused(name):
    refused("is no name of a data set", [folder(classes())], name)


def test_a_published_sets_name_is_kept_for_it():
    refused("dermamnist-rebuilt", [folder(classes())], "dermamnist")


def test_a_failing_build_leaves_the_old_file():
    source = folder(classes(top=""))
    old = build([source], "pets").read_bytes()
    (source / "cat/000.png").write_bytes(b"damaged")
    with pytest.raises(DataError, match=r"cat/000\.png"):
        build([source], "pets")
    assert Path("data/own/pets/pets.npz").read_bytes() == old
    assert len(list(Path("data/own/pets").iterdir())) == 1


# ---- the command ---------------------------------------------------------------------------------
def test_the_command_needs_no_torch_and_ends_without_a_traceback():
    ham()
    command = [sys.executable, "-m", "replication.data.images.build", "part_1.zip", "part_2.zip"]
    options = "--labels metadata.csv --image image_id --label dx --group lesion_id --size 16"
    done = subprocess.run([*command, "skin", *options.split()], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "16 x 16 pixels" in done.stdout
    done = subprocess.run([*command, "a b"], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("'a b' is no name")
    code = "import sys, replication.data.images.build; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_every_command_of_the_documents_is_taken_and_its_set_is_declared(monkeypatch):
    text = (ROOT / "docs/data.md").read_text(encoding="utf-8").replace("\\\n", " ")
    commands = re.findall(r"^python -m (replication\.data\.images\.build .*)$", text, re.M)
    built = []
    monkeypatch.setattr("replication.data.images.build.build", lambda *given: built.append(given))
    for command in commands:
        monkeypatch.setattr(sys, "argv", command.split("#")[0].split())
        if "--help" not in command:
            main()
    monkeypatch.chdir(ROOT)
    declared = settings.load("quick").datasets
    rebuilt = {name for name in declared if name.endswith("-rebuilt")}
    assert {given[1] for given in built} == rebuilt | {"NAME"}
    assert {declared[name] for name in rebuilt} == {OWN}
    info = medmnist.INFO
    for name, official in (
        ("ham10000-rebuilt", "dermamnist"),
        ("pbc-blood-rebuilt", "bloodmnist"),
    ):
        (sizes,) = (given[5] for given in built if given[1] == name)
        assert sizes == [info[official]["n_samples"][part] for part in PARTS]


@pytest.mark.parametrize(
    "options",
    ["--group x", "--labels t.csv --image i", "--size 7", "--centre 0", "--seed -1", "--sizes 1 2"],
)
def test_options_that_do_not_go_together(options, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["build", "source", "pets", *options.split()])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    assert "error: " in capsys.readouterr().err
