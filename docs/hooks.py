"""For mkdocs: README.md is the first page; what pages link to outside of docs/ comes, as files/.

Notebooks come as they are when they were run, in HTML.
"""

import re
from pathlib import Path
from posixpath import dirname, join, normpath, relpath

import nbformat
from mkdocs.structure.files import File, Files
from nbconvert import HTMLExporter

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"(?<=\]\()(?!https?:|#)[^)#\s]+")


def _place(path: str) -> str:
    """Of a file of the repository, in the site."""
    if path == "README.md":
        return "index.md"
    if path.endswith(".ipynb"):
        path = f"{path.removesuffix('ipynb')}html"
    return path.removeprefix("docs/") if path.startswith("docs/") else f"files/{path}"


def _path(place: str) -> str:
    """The inverse of `_place`, for pages."""
    if place == "index.md":
        return "README.md"
    return place.removeprefix("files/") if place.startswith("files/") else f"docs/{place}"


def on_files(files, config):
    todo = ["README.md", *(_path(f.src_uri) for f in files if f.src_uri.endswith(".md"))]
    found = {}
    while todo:
        path = todo.pop()
        if not path.startswith("docs/"):
            found[_place(path)] = path
        if path.endswith(".md"):
            links = LINK.findall((ROOT / path).read_text("utf-8"))
            targets = {normpath(join(dirname(path), link)) for link in links}
            new = {t for t in targets if _place(t) not in found and not t.startswith("docs/")}
            todo += sorted(t for t in new if (ROOT / t).is_file())  # of others mkdocs warns
    kept = [f for f in files if f.src_uri != "hooks.py"]
    return Files(kept + [_file(config, place, path) for place, path in found.items()])


def _file(config, place: str, path: str) -> File:
    if not path.endswith(".ipynb"):
        return File.generated(config, place, abs_src_path=str(ROOT / path))
    notebook = nbformat.read(ROOT / path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = LINK.sub(lambda match: _address(path, match[0]), cell.source)
    named = {"metadata": {"name": Path(path).stem}}
    return File.generated(
        config, place, content=HTMLExporter().from_notebook_node(notebook, named)[0]
    )


def _address(path: str, link: str) -> str:
    """In the site, from a notebook, of what it links to."""
    place = _place(normpath(join(dirname(path), link)))
    return re.sub(r"\.md$", "/index.html", relpath(place, dirname(_place(path))))


def on_page_markdown(markdown, page, **_):
    here = page.file.src_uri

    def moved(match):
        target = normpath(join(dirname(_path(here)), match[0]))
        return relpath(_place(target), dirname(here) or ".")

    return LINK.sub(moved, markdown)
