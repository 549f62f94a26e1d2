"""Captioned digits and PACS: splits, captions and what is refused."""

import io
import tarfile
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from replication import data, settings
from replication.data.pairs import Captioned, digits, pacs

DIGITS = settings.load("quick").datasets["digits-styles"]
PACS = settings.load("small").datasets["pacs"]


@pytest.fixture(scope="module")
def styled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets")
    data.obtain("digits-styles", DIGITS, folder / "digits-styles")
    return data.load("digits-styles", DIGITS, folder, 0)


def test_digits_are_split_once_and_styled_after(styled):
    sizes = len(styled.validation), *map(len, styled.tests.values())
    rest = 1797 - DIGITS.pretraining - DIGITS.train - DIGITS.validation
    assert sizes == (DIGITS.validation, rest, rest)
    assert [*styled.tests] == ["id", "ood"]
    assert styled.captioned.images.shape[0] == DIGITS.pretraining * len(digits.STYLES)
    assert sorted(styled.tests["id"].labels) == sorted(styled.tests["ood"].labels)
    thin, other = (styled.tests[name].inputs for name in ("id", "ood"))
    assert thin.mean() < other.mean()


def test_rarer_classes_are_thinned_out(styled):
    counts = np.bincount(styled.train.labels)
    assert counts[0] / counts[-1] == pytest.approx(DIGITS.imbalance, rel=0.4)
    assert len(counts) == 10


def test_captions_name_class_and_style_or_class_alone(styled):
    captions = styled.captioned.captions
    assert len(captions) == 10 * (len(digits.STYLES) + 1)
    row = [captions[i] for i in styled.captioned.choices[0]]
    assert row[0].endswith(", thin")
    assert row[1] == row[0].removesuffix(", thin")
    assert styled.prompts()[3] == ["a photo of a three", "a three on paper"]


def test_too_many_digits_are_refused(tmp_path):
    data.obtain("digits-styles", DIGITS, tmp_path / "digits-styles")
    greedy = DIGITS.model_copy(update={"pretraining": 1500})
    with pytest.raises(ValueError, match=r"pretraining \+ train \+ validation <= 1757 is expected"):
        data.load("digits-styles", greedy, tmp_path, 0)


def test_captions_are_kept_once():
    found = Captioned.of(np.zeros((3, 1, 2, 2), np.uint8), [["b", "a"], ["a", "c"], ["b", "b"]])
    assert found.captions == ("a", "b", "c")
    assert found.choices.tolist() == [[1, 0], [0, 2], [1, 1]]


def write(path, skip=(), size=(8, 8), broken=None, each=12):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for domain in pacs.DOMAINS:
            for label in pacs.CLASSES:
                for i in range(each):
                    if (domain, label) in skip:
                        continue
                    written = io.BytesIO()
                    Image.new("RGB", size, (i, 0, 0)).save(written, "JPEG")
                    content = b"no picture" if (domain, label, i) == broken else written.getvalue()
                    info = tarfile.TarInfo(f"pacs/{domain}/{label}/{i}.jpg")
                    info.size = len(content)
                    archive.addfile(info, io.BytesIO(content))


def test_pacs_is_split_by_domain(tmp_path):
    write(tmp_path / "pacs" / pacs.FILE)
    found = data.load("pacs", PACS, tmp_path, 0)
    assert len(found.captioned.images) == 4 * 7 * 6
    own = len(found.train) + len(found.validation) + len(found.tests["id"])
    assert own == 7 * 6
    assert len(found.tests["ood"]) == round(0.3 * 3 * 7 * 6)
    assert {*Counter(found.tests["ood"].labels.tolist()).values()} <= {5, 6}
    texts = Counter(found.captioned.captions[i] for i in found.captioned.choices[:, 0])
    assert texts["a sketch of a horse"] == 6
    assert found.class_names == pacs.CLASSES


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"skip": [("sketch", "dog")]}, r"no image in sketch/dog/"),
        ({"broken": ("photo", "dog", 0)}, r"pacs/photo/dog/0.jpg: not a readable picture"),
    ],
)
def test_what_is_missing_or_broken_is_named(tmp_path, changes, message):
    write(tmp_path / "pacs" / pacs.FILE, **changes)
    with pytest.raises((ValueError, data.DataError), match=message):
        data.load("pacs", PACS, tmp_path, 0)
