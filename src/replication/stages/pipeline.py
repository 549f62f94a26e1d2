"""What dvc.yaml runs for a profile, as DVC's own parser has it."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Stage:
    """needs: names of the stages that make what it depends on."""

    command: str
    outs: tuple[Path, ...]
    needs: frozenset[str]

    @property
    def module(self) -> str:
        return self.command.split()[2]


def stages(profile: str) -> dict[str, Stage]:
    """By name, every stage of a profile, whether it is the active one or not."""
    from dvc.parsing import DataResolver
    from dvc.repo import Repo
    from dvc.utils.serialize import load_yaml

    content = load_yaml("dvc.yaml") | {"vars": [f"profiles/{profile}.yaml"]}
    found = DataResolver(Repo(".", uninitialized=True), ".", content).resolve()["stages"]
    outs = {name: tuple(map(Path, _outs(stage))) for name, stage in found.items()}
    makers: dict[Path, set[str]] = {}
    for name, paths in outs.items():
        for path in paths:
            for place in (path, *path.parents[:-1]):
                makers.setdefault(place, set()).add(name)
    whole = {path: name for name, paths in outs.items() for path in paths}

    def needs(deps: list[str]) -> frozenset[str]:
        """Makers of a dependency or of parts of it, and of a folder that it is a part of."""
        names: set[str] = set()
        for path in map(Path, deps):
            names |= makers.get(path, set())
            names |= {whole[place] for place in path.parents if place in whole}
        return frozenset(names)

    return {
        name: Stage(stage["cmd"], outs[name], needs(stage["deps"])) for name, stage in found.items()
    }


def group(profile: str, name: str) -> list[str]:
    """Stages of a profile that `dvc repro NAME` means; where there are none, DVC runs all."""
    return [stage for stage in stages(profile) if stage.partition("@")[0] == name]


def _outs(stage: dict) -> list[str]:
    """An entry with options is a mapping with the path as its key."""
    entries = [*stage["outs"], *stage.get("metrics", [])]
    return [out if isinstance(out, str) else next(iter(out)) for out in entries]
