"""What a profile defines for itself stands beside the definitions of params.yaml."""

import pytest

from replication.settings import Reading, SettingsError, load, methods

QUICK, PARAMS = "profiles/quick.yaml", "params.yaml"
OWN = """
readings:
  mine: {space: logits, how: lookahead, reduction: sum}
refiners:
  mine: {kind: saflex, role: reading, reading: mine}
"""


def add(copy, text=OWN):
    (copy.folder / QUICK).write_text(copy.text(QUICK) + text)


def test_a_profile_may_define_readings_and_refiners(copy):
    before = load()
    add(copy)
    copy.replace(QUICK, "  - calibrated\n", "  - calibrated\n  - mine\n")
    everything = load()
    assert everything.readings["mine"] == Reading(space="logits", how="lookahead", reduction="sum")
    assert [*everything.refiners] == [*before.refiners, "mine"]
    assert "mine" in {planned.method.refiner for planned in methods(everything)}
    assert "mine" not in load("small").refiners


@pytest.mark.parametrize("section", ["readings", "refiners"])
def test_a_name_that_both_define_is_an_error_that_names_both(copy, section):
    add(copy, OWN.replace(f"{section}:\n  mine", f"{section}:\n  paper"))
    with pytest.raises(SettingsError) as caught:
        load()
    assert str(caught.value).startswith(f"{QUICK}: {section}.paper: is defined in {PARAMS} as well")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("logits", "logit", "readings.mine.space: .*'logits'.*got 'logit'"),
        ("reading: mine}", "reading: yours}", "refiners.mine.reading: 'yours' is none of "),
        ("  mine: {space", "  - {space", "readings: definitions are expected, got "),
        ("role: reading", "role: reeding", "refiners.mine.role: "),
    ],
)
def test_a_mistake_in_them_is_one_of_the_profiles(copy, old, new, message):
    add(copy, OWN.replace(old, new))
    with pytest.raises(SettingsError, match=message) as caught:
        load()
    assert str(caught.value).startswith(f"{QUICK}: ")


def test_a_mistake_in_params_stays_one_of_params(copy):
    add(copy)
    copy.replace(PARAMS, "    reading: theorem-1", "    reading: theorem-2")
    with pytest.raises(SettingsError) as caught:
        load()
    assert str(caught.value).startswith(f"{PARAMS}: refiners.theorem-1.reading")


def test_params_without_a_section_is_refused_as_before(copy):
    add(copy)
    copy.replace(PARAMS, "\nreadings:", "\nreading:")
    with pytest.raises(SettingsError, match="readings: Field required"):
        load()
