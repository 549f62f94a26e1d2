"""The code that each kind of stage runs: the plan has its hash, so that an edit reruns no more.

Left out is what decides no figure: `settings`, which the plan has as values, `cells` and `files`,
which carry results, what fetches data, whose checksums DVC compares, and what finds a plug by its
kind, the `__init__.py` of data, models and upstreams.
"""

from pathlib import Path

from replication.files import hash_of

PACKAGE = Path(__file__).parents[1]

DATA = ("data/dataset.py", "data/{takes}", "data/{augments}")
TRAINING = ("../saflex.py", "training", "refiners", "models/{takes}")
UPSTREAM = ("upstream/identity.py", "upstream/planted.py", "upstream/{augments}")
JUDGES = ("stages/judges.py", "models/pairs/weights.py", *TRAINING, *DATA)
GENERATE = ("stages/generate.py", "upstream/diffusion", "models/pairs/weights.py", *DATA)

STAGES = {
    "views": ("stages/views.py", "training/copies.py", *UPSTREAM, *DATA),
    "train": ("stages/train.py", *TRAINING, *UPSTREAM, *DATA),
    "pretrain": ("stages/pretrain.py", *TRAINING, *DATA),
    "generator": (
        "stages/generator.py",
        "training",
        "upstream/diffusion",
        "models/pairs/weights.py",
        *DATA,
    ),
    "generate": GENERATE,
    "judges": JUDGES,
    "judged": ("stages/judged.py", *GENERATE, *JUDGES, "models/pairs", "data/pairs"),
    "sheet": ("stages/sheet.py", *TRAINING, *UPSTREAM, *DATA),
    "toy": ("stages/toy.py", "toy.py", "../saflex.py", "refiners"),
    "report": ("stages/report.py", "stages/table.py", "report"),
}
"""Files and folders. takes: the kind of data, augments: the one that its upstreams take."""


def code(stage: str, *takes: str) -> str:
    """A hash of the code of a kind of stage. takes: the kind of data, then of its upstreams if
    that is another."""
    kinds = {"takes": takes[0], "augments": takes[-1]} if takes else {}
    return hash_of({file for part in STAGES[stage] for file in _files(part.format(**kinds))})


def _files(part: str) -> list[Path]:
    path = PACKAGE / part
    if path.is_file():
        return [path]
    return [p for p in path.rglob("*") if p.is_file() and "__pycache__" not in p.parts]
