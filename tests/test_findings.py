"""What docs/findings.md quotes stands in the file that it names before."""

import re
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"


def quotes():
    source = None
    for line in (DOCS / "findings.md").read_text(encoding="utf-8").splitlines():
        for link in re.findall(r"\]\((\.\./results/[^)]+)\)", line):
            source = DOCS / link
        if line.startswith("> "):
            yield line.removeprefix("> "), source


def test_every_quote_is_in_its_table():
    found = list(quotes())
    assert found
    for quote, source in found:
        assert quote in source.read_text(encoding="utf-8"), quote


def test_every_command_names_a_profile_and_a_table_of_it():
    from replication import settings

    text = (DOCS / "findings.md").read_text(encoding="utf-8")
    commands = re.findall(r"make profile NAME=([\w-]+) && dvc repro (\w+)", text)
    assert commands
    for profile, table in commands:
        assert getattr(settings.load(profile).profile.tables, table), (profile, table)
