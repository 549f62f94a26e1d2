"""What a profile lacks is trained, with what it needs, whatever fails."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from replication import cells, settings
from replication.stages import cluster, missing, pipeline, side_by_side

ROOT = Path(__file__).parents[2]


@pytest.fixture
def quick(monkeypatch, tmp_path):
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "profiles", tmp_path / "profiles")
    monkeypatch.chdir(tmp_path)
    return settings.load("quick")


@pytest.fixture
def command(monkeypatch):
    """`missing.main` with words; what it runs is noted, and fails with `fails` in its name."""
    run = SimpleNamespace(ran=[], fails="nothing", trained=[])

    def main(*words):
        monkeypatch.setattr("sys.argv", ["missing", *words])
        missing.main()

    def side(needs, jobs, begin):
        run.jobs = jobs
        run.ran += [begin(name) for name in needs]
        return [name for name in needs if run.fails in name]

    def on_cluster(methods, profile):
        run.trained += methods
        return []

    monkeypatch.setattr(side_by_side, "run", side)
    monkeypatch.setattr(cluster, "train_methods", on_cluster)
    run.main = main
    return run


def found(planned, seeds):
    return SimpleNamespace(settings=planned.recipe.dump(), seeds=[None] * seeds)


def of_tables(everything):
    return [p for p in settings.methods(everything) if p.method.experiment == "tabular"]


def trains(planned):
    return cells.command(planned.cells[0], "quick")


def test_methods_are_missing_until_all_seeds_of_all_their_cells_are_there(quick, monkeypatch):
    every = settings.methods(quick)
    assert missing.missing(quick, []) == every
    of = {cell: planned for planned in every for cell in planned.cells}
    there = {cell: found(planned, planned.seeds) for cell, planned in of.items()}
    monkeypatch.setattr(cells, "result", lambda cell, _: there[cell])
    assert missing.missing(quick, []) == []
    fewer, none, other = [p for p in every if len(p.cells) == 2][:3]
    there[fewer.cells[1]] = found(fewer, fewer.seeds - 1)
    there[none.cells[0]] = None
    there[other.cells[0]].settings["training"] = {}
    assert missing.missing(quick, []) == [fewer, none, other]
    assert missing.missing(quick, [fewer.method.refiner, "digits"]) == [fewer]


def test_methods_are_trained_with_what_they_need_and_failures_end_with_1(quick, command):
    command.fails = "posterior"
    with pytest.raises(SystemExit) as caught:
        command.main("quick", "tabular", "--jobs", "3")
    assert caught.value.code == 1
    expected = {"python -m replication.stages.data quick breast_cancer"}
    assert {*command.ran} == expected | {*map(trains, of_tables(quick))}
    assert len(command.ran) == len(set(command.ran))
    assert command.jobs == 3


def test_a_profile_that_lacks_nothing_runs_nothing(quick, command, capsys, monkeypatch):
    monkeypatch.setattr(missing, "missing", lambda *_: [])
    command.main("quick")
    assert command.ran == []
    assert "methods trained: 0, failed: 0" in capsys.readouterr().out


def test_the_list_has_what_train_takes_and_nothing_is_run(quick, command, capsys):
    command.main("quick", "tabular", "--list")
    lines = capsys.readouterr().out.splitlines()
    assert [f"python -m replication.stages.train quick {x}" for x in lines] == [
        trains(planned) for planned in of_tables(quick)
    ]
    assert command.ran == []


def test_what_methods_need_is_made_alone(quick, command):
    command.main("quick", "digits", "small-cnn", "--prepare")
    views = [f"views quick images digits {of}" for of in ("randaugment", "mixup", "mislabelled30")]
    wanted = {f"python -m replication.stages.{words}" for words in ["data quick digits", *views]}
    assert wanted <= {*command.ran}
    assert not [words for words in command.ran if ".train " in words]


def test_on_a_cluster_what_they_need_is_made_here(quick, command):
    command.main("quick", "tabular", "--cluster", "ray")
    assert command.ran == ["python -m replication.stages.data quick breast_cancer"]
    assert command.trained == of_tables(quick)


def test_nothing_is_trained_on_a_cluster_if_what_it_needs_failed(quick, command):
    command.fails = "data@"
    with pytest.raises(SystemExit):
        command.main("quick", "tabular", "--cluster", "ray")
    assert command.trained == []


@pytest.mark.parametrize("jobs", ["0", "-1"])
def test_a_number_of_jobs_is_checked(quick, command, jobs):
    with pytest.raises(SystemExit, match="--jobs: a number >= 1 is expected"):
        command.main("quick", f"--jobs={jobs}")


# ---- what dvc.yaml says is needed ----------------------------------------------------------------
def needed(*words):
    """Commands of what methods with these words need, each with those of what it needs itself."""
    stages = pipeline.stages("quick")
    train = {"replication.stages.train", *words}
    names = [name for name, stage in stages.items() if train <= {*stage.command.split()}]

    def short(name):
        return stages[name].command.removeprefix("python -m replication.stages.")

    found = missing.needed(stages, names)
    return {short(name): {short(n) for n in needs} for name, needs in found.items()}


def test_what_a_method_needs_comes_from_the_pipeline(quick):
    train = "train quick images digits small-cnn randaugment paper"
    data, views = "data quick digits", "views quick images digits randaugment"
    assert needed("images", "digits", "randaugment", "paper") == {
        train: {data, views},
        views: {data},
        data: set(),
    }
    of = "quick contrastive digits-styles"
    data, network = "data quick digits-styles", f"pretrain {of} clip-digits"
    assert needed("contrastive", "flyp-digits", "randaugment-mild", "none") == {
        f"train {of} flyp-digits randaugment-mild none": {data, network},
        network: {data},
        data: set(),
    }


def test_what_is_there_is_not_made_again(quick):
    Path("data/sets/breast_cancer").mkdir(parents=True)
    found = needed("breast_cancer", "cutmix", "posterior")
    assert [*found.values()] == [set()]


def test_images_of_a_diffusion_model_need_it_and_judges(quick):
    of = "generated digits-inverted"
    data, upstream = "data quick digits-inverted", f"quick {of} text2img-digits"
    models = {f"generator quick {of} {name}" for name in ("unet-digits", "unet-digits-longer")}
    judges = f"judges quick {of}"
    made = needed("digits-inverted", "text2img-digits", "paper")
    assert made[f"judged {upstream}"] == {data, *models, judges, f"generate {upstream}"}
    assert made[f"generate {upstream}"] == {data, *models}
    assert all(made[name] == {data} for name in (judges, *models))


def test_a_folder_that_was_being_filled_is_not_there_yet(quick):
    folder = Path("data/generated/quick/digits-inverted/text2img-digits")
    folder.mkdir(parents=True)
    generate = "generate quick generated digits-inverted text2img-digits"
    assert generate in needed("digits-inverted", "text2img-digits", "paper")
    (folder / "manifest.json").touch()
    assert generate not in needed("digits-inverted", "text2img-digits", "paper")
