"""Made images: complete, the same after any kill, and found out when they are damaged."""

import hashlib
import json
import weakref

import numpy as np
import pytest
import torch
from made_makers import Noisy
from PIL import Image

from replication.files import read_json
from replication.settings.upstreams import ImageToImage
from replication.upstream.diffusion.folder import MANIFEST, Folder
from replication.upstream.diffusion.requests import requests

PROMPTS = ['a "red" {} — ¿qué?', "{} 🐦 on a wire, 100 % 'sharp'"]
UPSTREAM = ImageToImage(
    kind="img2img", generator="g", steps=2, prompts={"birds": PROMPTS}, strength={"birds": 0.5}
)
LABELS = {"train": np.array([0, 1, 2, 1, 0]), "validation": np.array([1, 0])}
NAMES = ("wren", "owl", "jay")
SOURCES = torch.randint(0, 256, (7, 3, 6, 6), dtype=torch.uint8)
LISTED = requests(UPSTREAM, "birds", LABELS, NAMES, 3)


def sources(asked):
    return torch.stack([SOURCES[r.source + 5 * (r.part == "validation")] for r in asked])


def folder(path, batch=4, origin="o", listed=LISTED):
    return Folder(path, listed, {"made of": origin}, batch)


def contents(path):
    found = {p.relative_to(path).as_posix(): p.read_bytes() for p in path.rglob("*") if p.is_file()}
    return {name: content for name, content in found.items() if "journal" not in name}


@pytest.fixture
def whole(tmp_path):
    folder(tmp_path / "whole").fill(Noisy, sources)
    return tmp_path / "whole"


def test_the_manifest_says_of_each_image_what_it_was_made_from(whole):
    found = read_json(whole / MANIFEST)
    assert found["origin"] == {"made of": "o"}
    assert len(found["images"]) == 7 * 3
    for record, request in zip(found["images"], LISTED, strict=True):
        content = (whole / record["file"]).read_bytes()
        assert record["sha256"] == hashlib.sha256(content).hexdigest()
        named = (request.part, request.source, request.prompt, request.seed, 0.5, "r1")
        keys = ("part", "source", "prompt", "seed", "strength", "revision")
        assert tuple(record[key] for key in keys) == named
    assert {r["prompt"] for r in found["images"]} <= {
        p.replace("{}", name) for p in PROMPTS for name in NAMES
    }
    assert not list(whole.glob(".journal*"))


@pytest.mark.parametrize("batches", range(6))
def test_killed_after_any_batch_it_ends_with_the_same_bytes(tmp_path, whole, batches):
    cut = folder(tmp_path / "cut")
    with pytest.raises(KeyboardInterrupt):
        cut.fill(lambda: Noisy(dies_after=batches), sources)
    assert not (tmp_path / "cut" / MANIFEST).exists()
    again = Noisy()
    cut.fill(lambda: again, sources)
    assert contents(tmp_path / "cut") == contents(whole)
    assert len(again.calls) == 6 - batches


def test_a_kill_within_a_line_of_the_journal(tmp_path, whole):
    cut = folder(tmp_path / "cut")
    with pytest.raises(KeyboardInterrupt):
        cut.fill(lambda: Noisy(dies_after=3), sources)
    journal = tmp_path / "cut" / ".journal-0"
    journal.write_bytes(journal.read_bytes()[:-25])
    cut.fill(Noisy, sources)
    assert contents(tmp_path / "cut") == contents(whole)


def test_a_line_that_was_cut_off_takes_no_other_with_it(tmp_path, whole):
    """The first of a batch: its image is made again, and of several processes the last one that
    ends reads in the journals whether all are there."""
    shared = folder(tmp_path / "shared")
    with pytest.raises(KeyboardInterrupt):
        shared.fill(lambda: Noisy(dies_after=2), sources, share=(0, 2))
    journal = tmp_path / "shared" / ".journal-0"
    lines = [line for line in journal.read_bytes().splitlines() if line]
    journal.write_bytes(b"\n".join([*lines[:4], lines[4][:-25]]))
    for rank in range(2):
        shared.fill(Noisy, sources, share=(rank, 2))
    assert contents(tmp_path / "shared") == contents(whole)


@pytest.mark.parametrize(
    "text",
    ["null", "[1]", '{"origin": O}', '{"origin": O, "images": {"a": 1}, "image": 3}',
     '{"origin": O, "images": [1, {"file": []}, {}], "image": {"file": []}}'],
)  # fmt: skip
@pytest.mark.parametrize("file", [MANIFEST, ".journal-0"])
def test_a_record_of_another_form_is_no_record(whole, file, text):
    before, damaged = contents(whole), folder(whole)
    origin = json.dumps(damaged.origin if file == MANIFEST else damaged._origin)
    (whole / MANIFEST).unlink()
    (whole / file).write_text(text.replace("O", origin))
    damaged.fill(Noisy, sources)
    assert contents(whole) == before


@pytest.mark.parametrize("damage", ["truncated", "other", "missing", "manifest"])
def test_what_is_damaged_is_named_and_made_again(whole, damage):
    before, victim = contents(whole), whole / LISTED[5].file
    match damage:
        case "truncated":
            victim.write_bytes(victim.read_bytes()[:40])
        case "other":
            Image.new("RGB", (6, 6)).save(victim)
        case "missing":
            victim.unlink()
        case "manifest":
            (whole / MANIFEST).write_text('{"origin": ')
    with pytest.raises(ValueError, match="missing, damaged or of other settings"):
        folder(whole).records()
    made = Noisy()
    folder(whole).fill(lambda: made, sources)
    assert contents(whole) == before
    assert made.calls == ([4] if damage != "manifest" else [4, 4, 4, 4, 4, 1])
    assert len(folder(whole).records()) == len(LISTED)


def test_what_is_of_no_request_goes(whole):
    before = contents(whole)
    (whole / "train" / ".000003-1-x7.png").write_bytes(b"cut off")
    (whole / "train" / "000099-0.png").write_bytes(b"of other settings")
    folder(whole).fill(lambda: pytest.fail("a model was loaded"), sources)
    assert contents(whole) == before


def test_what_another_process_is_writing_stays_until_it_is_done(tmp_path, whole):
    """A second run of the same images ends while the first one writes its last image."""
    first, second = folder(tmp_path / "both"), folder(tmp_path / "both")
    before, last = contents(whole), LISTED[-1].file

    class Slow(Noisy):
        def make(self, asked, images):
            if asked[-1].file == last:
                written = tmp_path / "both" / "train" / ".000000-0-other.png"
                written.write_bytes(b"half of it")
                second.fill(Noisy, sources)
                assert written.exists()
                assert (tmp_path / "both" / ".journal-0").exists()
                assert len(second.records()) == len(LISTED)
            return super().make(asked, images)

    first.fill(Slow, sources)
    assert contents(tmp_path / "both") == before
    assert not list((tmp_path / "both").glob(".journal*"))


def test_nothing_is_made_where_all_is_there(whole):
    folder(whole).fill(lambda: pytest.fail("a model was loaded"), sources)


@pytest.mark.parametrize("change", ["origin", "seed"])
def test_images_of_other_settings_are_made_again(whole, change):
    other = UPSTREAM.model_copy(update={"seed": 1})
    listed = requests(other, "birds", LABELS, NAMES, 3) if change == "seed" else LISTED
    made = Noisy()
    folder(whole, origin="p" if change == "origin" else "o", listed=listed).fill(
        lambda: made, sources
    )
    assert sum(made.calls) == len(LISTED)


def test_any_one_image_can_be_made_alone(whole):
    for request, image in zip(LISTED, folder(whole).images(), strict=True):
        (alone,) = Noisy().make([request], sources([request]))
        assert (alone.numpy() == image).all()


def test_a_longer_list_has_the_shorter_one_in_it():
    longer = requests(UPSTREAM, "birds", LABELS, NAMES, 5)
    assert {*LISTED} < {*longer}


def test_without_room_a_batch_is_halved_and_goes_on(tmp_path, whole):
    made = Noisy(room=1)
    folder(tmp_path / "narrow").fill(lambda: made, sources)
    assert contents(tmp_path / "narrow") == contents(whole)
    assert {*made.calls} == {1}
    with pytest.raises(MemoryError, match="one image; take a smaller `side`"):
        folder(tmp_path / "none").fill(lambda: Noisy(room=0), sources)


def test_an_attempt_without_room_is_given_up_before_the_next(tmp_path):
    """Tensors of a call that fails live in its frame, which its error keeps as long as it lives."""
    alive = []

    class Held:
        pass

    class Narrow(Noisy):
        def make(self, asked, images):
            assert not [held for held in alive if held() is not None]
            held = Held()
            alive.append(weakref.ref(held))
            return super().make(asked, images)

    made = Narrow(room=1)
    folder(tmp_path / "narrow").fill(lambda: made, sources)
    assert len(alive) > len(LISTED)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_processes_share_the_list(tmp_path, whole, order):
    counts = {}
    for rank in order:
        counts[rank] = Noisy()
        shared = folder(tmp_path / "shared")
        shared.fill(lambda rank=rank: counts[rank], sources, share=(rank, 3))
    assert contents(tmp_path / "shared") == contents(whole)
    assert [sum(counts[rank].calls) for rank in range(3)] == [8, 8, 5]


def test_a_prompt_that_asks_for_a_name_of_classes_without_names():
    with pytest.raises(ValueError, match="asks for a class's name, birds has none"):
        requests(UPSTREAM, "birds", LABELS, (), 1)


def test_grey_images(tmp_path):
    grey = SOURCES[:, :1]
    listed = folder(tmp_path / "grey")
    listed.fill(
        Noisy, lambda a: torch.stack([grey[r.source + 5 * (r.part == "validation")] for r in a])
    )
    assert {image.shape for image in listed.images()} == {(1, 6, 6)}
