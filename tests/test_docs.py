"""No page of the documentation sends its reader to what is not there, and neither does the site."""

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [
    *ROOT.glob("*.md"),
    *(ROOT / "docs").glob("*.md"),
    *(ROOT / "notebooks").glob("*.ipynb"),
]
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")


def text(page):
    """What stands in a page; of a notebook, between its code."""
    if page.suffix != ".ipynb":
        return page.read_text("utf-8")
    cells = json.loads(page.read_text("utf-8"))["cells"]
    return "\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")


def anchors(page):
    heads = re.findall(r"^#+ (.+)$", text(page), re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_of_a_page_leads_to_a_file_and_a_heading(page):
    for name, anchor in LINK.findall(text(page)):
        target = page.parent / name if name else page
        assert target.exists(), name
        assert not anchor or anchor in anchors(target), f"{name}#{anchor}"


class Links(HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.found = set()
        self.feed(page.read_text("utf-8"))

    def handle_starttag(self, tag, attrs):
        self.found |= {value for name, value in attrs if name in ("href", "src") and value}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("material", reason="the extra docs is not installed")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", folder]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


def test_every_link_of_the_site_leads_to_a_file_of_it(site):
    pages = [page for page in site.rglob("*.html") if page.name != "404.html"]
    assert len(pages) > 10
    for page in pages:
        for link in Links(page).found:
            parts = urlsplit(link)
            if not parts.scheme and not parts.netloc and parts.path:
                target = (page.parent / unquote(parts.path)).resolve()
                assert target.exists(), f"{page.relative_to(site)}: {link}"


def test_the_site_has_diagrams_signatures_notebooks_and_the_tables_that_findings_quotes(site):
    assert '<pre class="mermaid">' in (site / "architecture/index.html").read_text("utf-8")
    method = (site / "saflex/index.html").read_text("utf-8")
    for name in ("SAFLEX", "Posterior", "solve", "soft_cross_entropy"):
        assert f'id="saflex.{name}"' in method, name
    notebook = (site / "files/notebooks/05_reading_the_results.html").read_text("utf-8")
    assert "<code>planted</code> is the positive control" in notebook
    assert "data:image/png;base64" in notebook
    assert not [*site.rglob("*.ipynb")]
    assert (site / "files/results/planted/tables/planted/planted/index.html").exists()
