"""`python -m replication.cells`: which cells there are, how they stand, and how to train one."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from replication import cells, settings
from replication.cells import CellFile, Data, Method, Provenance, Score, Seed
from replication.cells.__main__ import main

ROOT = Path(__file__).parents[2]
ONE = "digits", "mixup", "paper", "augmented"
IMAGES = settings.load("quick").profile.images
SEEDS, EPOCHS = IMAGES.seeds, IMAGES.training.epochs


@pytest.fixture
def listing(tmp_path, monkeypatch, capsys):
    """What the command prints with some words, in a folder with settings and no results."""
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "profiles", tmp_path / "profiles")
    monkeypatch.chdir(tmp_path)

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["cells", *words])
        main()
        return capsys.readouterr().out

    return run


def planned(*words):
    for method in settings.methods(settings.load()):
        for cell in method.cells:
            if set(words) <= set(cell.key):
                return method, cell
    raise LookupError(words)


def store(seeds, *words, **changes):
    """A result file of the first cell with these words; its scores are 0.5, 0.51, ..."""
    method, cell = planned(*words)
    recipe = method.recipe.dump()
    recipe["training"] |= changes
    file = CellFile(
        cell=cell,
        settings=recipe,
        data=Data(files={}, train=4, validation=2, tests={"test": 3}),
        metric="accuracy",
        seeds=[
            Seed(
                seed=i,
                scores=[
                    Score(split="test", weights="final", metric="accuracy", value=0.5 + i / 100)
                ],
            )
            for i in range(seeds)
        ],
    )
    cells.write(cell.result("quick"), file)
    return cell


def mean_of(seeds):
    """The mean of the scores that so many seeds have in `store`, in per cent."""
    return 50 + (seeds - 1) / 2


def test_without_words_a_line_a_cell(listing):
    lines = listing().splitlines()
    everything = settings.load()
    assert len(lines) == len(settings.cells(everything))
    assert all(line.startswith("not run") for line in lines)
    for line, cell in zip(lines, settings.cells(everything), strict=True):
        assert all(f"  {field}  " in line for field in cell.key)


def test_the_command_of_a_line_trains_its_cell(listing):
    every = {cell.method for cell in settings.cells(settings.load())}
    for line in listing().splitlines():
        command = line[line.index("python -m replication.stages.train ") :].split()[3:]
        profile, *fields = command
        assert profile == "quick"
        assert all(f"  {field}  " in line for field in fields)
        assert Method(**dict(zip(Method.model_fields, fields, strict=True))) in every


@pytest.mark.parametrize(
    ("seeds", "changes", "state", "score"),
    [
        (SEEDS, {}, "done", f"{mean_of(SEEDS):.2f} accuracy"),
        (SEEDS + 2, {}, "done", f"{mean_of(SEEDS + 2):.2f} accuracy"),
        (2, {}, f"2 of {SEEDS} seeds", "50.50 accuracy"),
        (SEEDS, {"epochs": EPOCHS + 1}, "other settings", f"{mean_of(SEEDS):.2f} accuracy"),
    ],
)
def test_a_cell_that_was_run_says_how_far(listing, seeds, changes, state, score):
    cell = store(seeds, *ONE, **changes)
    lines = listing().splitlines()
    (line,) = (x for x in lines if x.startswith(state))
    assert score in line
    assert all(f"  {field}  " in line for field in cell.key)
    assert sum(x.startswith("not run") for x in lines) == len(lines) - 1


def test_more_seeds_make_a_done_cell_a_part_of_one(listing):
    store(SEEDS, *ONE)
    path, more = Path("profiles/quick.yaml"), SEEDS + 3
    path.write_text(path.read_text().replace(f"seeds: {SEEDS}", f"seeds: {more}", 1))
    assert f"{SEEDS} of {more} seeds" in listing(*ONE)


def test_words_choose_and_show_settings_with_where_they_were_set(listing):
    text, (method, cell) = listing(*ONE), planned(*ONE)
    rate = str(method.recipe.model.learning_rate)
    assert sum("replication.stages.train" in line for line in text.splitlines()) == 1
    for setting, value, place in (
        ("dataset.train", "200", "params.yaml: datasets.digits"),
        ("model.learning_rate", rate, f"params.yaml: models.{cell.model}"),
        ("upstream.alpha", "0.4", "params.yaml: upstreams.mixup"),
        ("refiner.kind", "saflex", "params.yaml: refiners.paper"),
        ("reading.temperature", "0.01", "params.yaml: readings.paper"),
        ("training.epochs", str(EPOCHS), "profiles/quick.yaml: images.training, .limits"),
        ("views", str(IMAGES.views), "profiles/quick.yaml: images.views"),
    ):
        (line,) = (x for x in text.splitlines() if x.split()[:1] == [setting])
        assert line.split(None, 2)[1:] == [value, place]
    assert "file results/quick/cells/images/digits/" in text


def test_a_control_shows_the_reading_that_it_imitates(listing):
    text = listing("permuted-posterior", "mixup", "augmented")
    assert "params.yaml: readings.posterior\n" in text
    assert "readings" not in listing("none", "mixup", "augmented")


def test_settings_are_those_it_was_run_with_and_what_they_are_now(listing):
    cell = store(SEEDS, *ONE, epochs=EPOCHS + 1)
    cells.write(cell.provenance("quick"), Provenance(seconds=1.5, device="cpu: x", date="2026"))
    text = listing(*ONE)
    (line,) = (x for x in text.splitlines() if x.split()[:1] == ["training.epochs"])
    assert line.split()[1] == str(EPOCHS + 1)
    assert line.endswith(f", now {EPOCHS}")
    assert text.count(", now ") == 1
    assert "ran 2026 on cpu: x, 1.5 s" in text


def test_another_profile_can_be_listed(listing):
    planted = settings.cells(settings.load("planted"))
    assert len(listing("--profile", "planted").splitlines()) == len(planted)


def test_words_that_no_cell_has_are_named(listing):
    with pytest.raises(SystemExit, match="profile quick has no cell with digitz and paper"):
        listing("digitz", "paper")


def test_a_broken_file_is_named_without_a_traceback(listing):
    path = planned(*ONE)[1].result("quick")
    path.parent.mkdir(parents=True)
    path.write_text("{")
    with pytest.raises(SystemExit, match=r"augmented\.json: not valid JSON"):
        listing()


def test_it_is_started_as_a_module(listing):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "replication.cells", "digits", "clean"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    assert done.stdout.startswith(f"not run  {SEEDS} seeds")
    assert "| torch" not in done.stderr
