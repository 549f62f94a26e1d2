"""`python -m replication.stages.plan`: check the settings, and write what each stage depends on.

Every stage of the active profile has a file of its own in data/plan/<profile>/ with the settings
that its output depends on, as they are run, and a hash of the code that it runs, and nothing else.
DVC compares these files, so an edit of params.yaml, of the profile or of src/ reruns what it
touches.
"""

import shutil
from functools import cache
from pathlib import Path

from replication import data, settings
from replication.files import hash_of_json, write_json
from replication.stages.code import code as stage_code

PLAN = Path("data/plan")
TOY, REPORT = Path("toy.json"), Path("report.json")


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
    found: dict[Path, object] = {}
    code: dict[Path, str] = {}
    hashed = cache(stage_code)

    def add(stage: str, experiment: str, path: Path, content: object) -> None:
        grid = everything.profile.experiments[experiment]
        found[path], code[path] = content, hashed(stage, grid.takes, *grid.augments)

    for name in everything.profile.data:
        source = everything.datasets[name]
        origin = data.origin(name, source)
        found[Path("data", f"{name}.json")] = source.model_dump(mode="json") | {"origin": origin}
    for planned in settings.methods(everything):
        cells = planned.method.folder(Path("cells"))
        path = cells.with_name(f"{cells.name}.json")
        add("train", planned.method.experiment, path, planned.dump())
    for experiment, name, upstream in settings.views(everything):
        if everything.upstreams[upstream].generated:
            continue
        content = {
            "dataset": everything.datasets[name].model_dump(mode="json"),
            "upstream": everything.upstreams[upstream].model_dump(mode="json", exclude={"label"}),
            "views": everything.profile.experiments[experiment].views,
        }
        add("views", experiment, Path("views", experiment, name, f"{upstream}.json"), content)
    for network in settings.pretrained(everything):
        path = Path("pretrained", network.experiment, network.dataset, f"{network.network}.json")
        add("pretrain", network.experiment, path, network.dump())
    for prepared in settings.prepared(everything):
        place = Path(prepared.experiment, prepared.dataset, f"{prepared.generator}.json")
        add("generator", prepared.experiment, "generators" / place, prepared.dump())
    for made in settings.made(everything):
        place = Path(made.experiment, made.dataset, f"{made.upstream}.json")
        add("generate", made.experiment, "made" / place, made.dump())
        add("judged", made.experiment, "judged" / place, made.dump())
    for judges in settings.judges(everything):
        path = Path("judges", judges.experiment, f"{judges.dataset}.json")
        add("judges", judges.experiment, path, judges.dump())
    for (experiment, name, refiner), methods in settings.sheets(everything).items():
        path = Path("sheets", experiment, name, f"{refiner}.json")
        add("sheet", experiment, path, [planned.dump() for planned in methods])
    if toy := everything.profile.toy:
        refined = {*toy.refiners, *toy.picture.refiners}
        found[TOY] = {
            "toy": toy.model_dump(mode="json"),
            "refiners": {name: _refiner(everything, name) for name in sorted(refined)},
        }
        code[TOY] = hashed("toy")
    found[REPORT] = {  # lists, since the report keeps their order
        "refiners": [[name, _described(r)] for name, r in everything.refiners.items()],
        "upstreams": [[name, upstream.label] for name, upstream in everything.upstreams.items()],
        "models": list(everything.models),
        "cells": [str(cell) for cell in settings.cells(everything)],
        "others": hash_of_json({str(path): content for path, content in found.items()}),
    }
    code[REPORT] = hashed("report")
    return {
        path: {"settings": content} | ({"code": code[path]} if path in code else {})
        for path, content in found.items()
    }


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
