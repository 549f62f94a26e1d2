"""What docs/findings.md and the README quote stands in the file that they name before."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def quotes(page):
    source = None
    for line in page.read_text(encoding="utf-8").splitlines():
        for link in re.findall(r"\]\(((?:\.\./)?results/[^)]+\.md)\)", line):
            source = page.parent / link
        if line.startswith("> "):
            yield line.removeprefix("> "), source


@pytest.mark.parametrize("page", [DOCS / "findings.md", ROOT / "README.md"], ids=lambda p: p.name)
def test_every_quote_is_in_its_table(page):
    found = list(quotes(page))
    assert found
    for quote, source in found:
        assert quote in source.read_text(encoding="utf-8"), quote
