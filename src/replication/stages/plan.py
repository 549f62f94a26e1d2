"""`python -m replication.stages.plan`: check the settings, and write what each stage depends on.

Every stage of the active profile has a file of its own in data/plan/<profile>/ with the settings
that its output depends on, as they are run, and nothing else. DVC compares these files, so an edit
of params.yaml or of the profile reruns what it touches.
"""

import shutil
from pathlib import Path

from replication import data, settings
from replication.files import write_json

PLAN = Path("data/plan")


def main() -> None:
    everything = settings.load()
    folder = PLAN / everything.profile.profile
    contents = plan(everything)
    shutil.rmtree(folder, ignore_errors=True)
    for name, content in contents.items():
        write_json(folder / name, content)
    print(settings.describe(everything))


def plan(everything: settings.Settings) -> dict[Path, object]:
    """Path below the plan's folder -> content."""
    files: dict[Path, object] = {}
    for name in everything.profile.data:
        source = everything.datasets[name]
        origin = data.origin(name, source)
        files[Path("data", f"{name}.json")] = source.model_dump(mode="json") | {"origin": origin}
    for planned in settings.methods(everything):
        cells = planned.method.folder(Path("cells"))
        files[cells.with_name(f"{cells.name}.json")] = planned.dump()
    for experiment, name, upstream in settings.views(everything):
        grid = everything.profile.experiments[experiment]
        if everything.upstreams[upstream].generated:
            continue
        files[Path("views", experiment, name, f"{upstream}.json")] = {
            "dataset": everything.datasets[name].model_dump(mode="json"),
            "upstream": everything.upstreams[upstream].model_dump(mode="json", exclude={"label"}),
            "views": grid.views,
        }
    for made in settings.pretrained(everything):
        name = Path("pretrained", made.experiment, made.dataset, f"{made.network}.json")
        files[name] = made.dump()
    for prepared in settings.prepared(everything):
        name = f"{prepared.generator}.json"
        files[Path("generators", prepared.experiment, prepared.dataset, name)] = prepared.dump()
    for made in settings.made(everything):
        files[Path("made", made.experiment, made.dataset, f"{made.upstream}.json")] = made.dump()
    for judges in settings.judges(everything):
        files[Path("judges", judges.experiment, f"{judges.dataset}.json")] = judges.dump()
    for (experiment, name, refiner), planned in settings.sheets(everything).items():
        files[Path("sheets", experiment, name, f"{refiner}.json")] = [p.dump() for p in planned]
    if toy := everything.profile.toy:
        refined = {*toy.refiners, *toy.picture.refiners}
        files[Path("toy.json")] = {
            "toy": toy.model_dump(mode="json"),
            "refiners": {name: _refiner(everything, name) for name in sorted(refined)},
        }
    files[Path("report.json")] = {  # lists, since the report keeps their order
        "refiners": [[name, _described(r)] for name, r in everything.refiners.items()],
        "upstreams": [[name, upstream.label] for name, upstream in everything.upstreams.items()],
        "models": list(everything.models),
        "cells": [str(cell) for cell in settings.cells(everything)],
    }
    return files


def _refiner(everything: settings.Settings, name: str) -> dict:
    refiner, reading = everything.refiners[name], everything.reading(name)
    return {
        "refiner": refiner.model_dump(mode="json", exclude=settings.REPORTED),
        "reading": reading and reading.model_dump(mode="json"),
    }


def _described(refiner) -> dict:
    return {"kind": refiner.kind, "role": refiner.role, "of": refiner.of, "label": refiner.label}


if __name__ == "__main__":
    main()
