"""Labels, order and looks: all of it from the fields of params.yaml."""

from made_cells import DEFINITIONS, READING, one

from replication.report.drawing import INK, MUTED, PALETTE
from replication.report.legend import Legend

PAPER = DEFINITIONS["refiners"]["paper"]


def legend(**refiners):
    return Legend.of(one(more={"refiners": refiners}))


def test_labels():
    names = legend(
        mine={**READING, "reading": "paper"}, shuffled={"kind": "permuted", "of": "mine"}
    )
    assert names.refiner("mine") == "SAFLEX, mine"
    assert names.refiner("shuffled") == "shuffled (control)"
    assert names.refiner("permuted") == "calibrated, permuted (control)"
    assert names.method("none", "clean") == "clean samples alone"
    assert names.method("none", "augmented") == "upstream alone"
    assert names.setting("none", "clean") == "No augmentation"
    assert names.setting("mixup", "clean-augmented") == "Mixup, clean + augmented"
    assert names.of_kinds(["randaugment", "tabular-cutmix"]) == ["RandAugment", "CutMix"]


def test_the_order_is_that_of_params():
    names = legend(mine={**READING, "reading": "paper"})
    assert names.ordered("refiner", ["mine", "permuted", "paper"]) == ["paper", "permuted", "mine"]


def test_every_reading_and_rival_looks_different():
    more = {f"r{i}": {**READING, "reading": "paper"} for i in range(20)}
    names = legend(**more)
    tested = [n for n, e in names.refiners.items() if e.role in ("reading", "rival")]
    looks = [names.look(name) for name in tested]
    assert len(PALETTE) == 10 == len({look.colour for look in looks[:10]})
    assert len(set(looks)) == len(looks) == 24
    assert len({(look.colour, look.marker) for look in looks}) == len(looks)
    assert all(look.filled for look in looks)


def test_a_new_entry_at_the_end_changes_no_colour():
    before, after = legend(), legend(mine={**READING, "reading": "paper"})
    assert all(before.look(name) == after.look(name) for name in before.refiners)


def test_a_control_has_the_colour_of_what_it_is_of_and_the_mark_of_its_kind():
    names = legend(
        mine={**READING, "reading": "paper"},
        first={"kind": "permuted", "of": "mine"},
        second={"kind": "smoothing", "of": "mine"},
        scored={**PAPER, "role": "control", "of": "mine"},
    )
    looks = {name: names.look(name) for name in names.refiners}
    mine = {looks[name].colour for name in ("mine", "first", "second", "scored")}
    assert mine == {looks["mine"].colour} != {looks["calibrated"].colour}
    assert looks["first"].marker == looks["permuted"].marker
    assert looks["second"].marker == looks["smoothing"].marker
    assert looks["scored"].marker == looks["reweighting"].marker
    assert len({looks[n].marker for n in ("first", "second", "scored", "train-validation")}) == 4
    assert looks["train-validation"].colour == looks["reweighting"].colour == MUTED
    assert looks["none"].colour == INK
    assert not any(looks[n].filled for n in ("first", "second", "scored", "none"))


def test_two_controls_of_a_kind_and_of_the_same_have_marks_of_their_own():
    before = legend()
    names = legend(
        first={**PAPER, "role": "control", "of": "paper"},
        second={**PAPER, "role": "control", "of": "paper"},
    )
    assert names.look("first").marker == names.look("reweighting").marker
    assert names.look("second").marker not in {names.look(n).marker for n in before.refiners}
    assert names.look("first").colour == names.look("second").colour == names.look("paper").colour
    assert all(before.look(name) == names.look(name) for name in before.refiners)


def test_an_altered_validation_set_is_the_same_reading():
    names = legend(
        mine={**PAPER, "reading": "theorem-1", "label": "mine"},
        half={**PAPER, "reading": "theorem-1", "validation_share": 0.5},
        wrong={**PAPER, "reading": "reweighting", "validation_noise": 0.5},
        wronger={**PAPER, "reading": "reweighting", "validation_noise": 0.9},
        again={**PAPER, "label": "again"},
    )
    assert [names.base(n) for n in ("mine", "half", "wrong", "wronger", "again")] == [
        "mine",
        "theorem-1",
        "wrong",
        "wrong",
        "again",
    ]
    assert names.look("half") == names.look("theorem-1") != names.look("mine")
    assert names.look("wrong") == names.look("wronger")
    assert names.look("again") != names.look("paper")
