"""What the entries of params.yaml are called in the report, in what order, and how they look."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, get_args

from replication.cells import Batch
from replication.report.drawing import INK, MUTED, PALETTE
from replication.settings import AnyRefiner, Settings

BATCHES = {
    "clean": "clean only",
    "augmented": "augmented only",
    "clean-augmented": "clean + augmented",
}
METRICS = {
    "accuracy": "accuracy",
    "auroc": "AUROC",
    "average_precision": "average precision",
    "macro_f1": "macro-F1",
}
FILLED, HOLLOW = ("o", "D", "P", "X"), ("D", "s", "^", "v", "<", ">", "p", "h")
SOLID = ("-", (0, (7, 1)), (0, (7, 1, 2, 1)), (0, (7, 1, 1, 1, 1, 1)))
DASHED = ("--", (0, (2, 1)), "-.", (0, (4, 1, 1, 1, 1, 1)))
LINES = (*SOLID, *DASHED)


@dataclass(frozen=True)
class Look:
    """colour; marker and line as matplotlib names them; filled: of readings and rivals."""

    colour: str
    marker: str
    line: Any
    filled: bool


@dataclass(frozen=True)
class Legend:
    """The entries of params.yaml by name, in its order."""

    refiners: Mapping[str, AnyRefiner]
    upstreams: Mapping[str, Any]
    models: Mapping[str, Any]

    @classmethod
    def of(cls, settings: Settings) -> "Legend":
        return cls(settings.refiners, settings.upstreams, settings.models)

    def refiner(self, name: str) -> str:
        """The refiner's label; controls are marked as such."""
        entry = self.refiners[name]
        if self.is_control(name):
            return f"{entry.label or name} (control)"
        return entry.label or (f"SAFLEX, {name}" if entry.role == "reading" else name)

    def is_control(self, name: str) -> bool:
        return self.refiners[name].role == "control"

    def method(self, refiner: str, batch: str) -> str:
        """The refiner's label among those of a batch composition."""
        if batch == "clean" and self.refiners[refiner].role == "baseline":
            return "clean samples alone"
        return self.refiner(refiner)

    def upstream(self, name: str) -> str:
        return self.upstreams[name].label or name

    def setting(self, upstream: str, batch: str) -> str:
        """An upstream and what is trained on: "Mixup, clean + augmented"."""
        name = self.upstream(upstream)
        return name if batch == "clean" else f"{name}, {BATCHES[batch]}"

    def of_kinds(self, kinds: Iterable[str]) -> list[str]:
        """Labels of the upstreams of these kinds."""
        found = (name for name, entry in self.upstreams.items() if entry.kind in kinds)
        return list(dict.fromkeys(map(self.upstream, found)))

    def rival(self, kind: str) -> str:
        """Label of the rival of a kind."""
        named = (n for n, e in self.refiners.items() if (e.role, e.kind) == ("rival", kind))
        return next(map(self.refiner, named), kind)

    def rank(self, key: str, name: str) -> int:
        """Where a value of a column stands in params.yaml."""
        return self._order[key][name]

    def ordered(self, key: str, names: Iterable[str]) -> list[str]:
        """The distinct values of a column, in the order of params.yaml."""
        return sorted(set(names), key=self._order[key].__getitem__)

    def base(self, name: str) -> str:
        """The refiner that sees the validation split as it is and is the same otherwise."""
        if self.refiners[name].whole_validation:
            return name
        same = [other for other in self.refiners if self._same[other] == self._same[name]]
        whole = [other for other in same if self.refiners[other].whole_validation]
        return (whole or same)[0]

    def look(self, name: str) -> Look:
        """How a refiner is drawn, everywhere the same.

        Readings and rivals have the palette's colours in turn and, once these are used up, other
        marks and lines. A control has the colour of what it is of, and its kind's hollow mark, or
        a further one if another of that kind is of the same.
        """
        return self._looks[name]

    @cached_property
    def _order(self) -> dict[str, dict[str, int]]:
        names = {
            "refiner": self.refiners,
            "upstream": self.upstreams,
            "model": self.models,
            "batch": get_args(Batch),
        }
        return {key: {name: i for i, name in enumerate(of)} for key, of in names.items()}

    @cached_property
    def _same(self) -> dict[str, dict[str, Any]]:
        options = {"label", "validation_share", "validation_noise"}
        return {name: entry.model_dump(exclude=options) for name, entry in self.refiners.items()}

    @cached_property
    def _looks(self) -> dict[str, Look]:
        entries = self.refiners
        controls = [name for name in entries if self.is_control(name)]
        kinds = {name: (entries[name].kind, self._nth(name)) for name in controls}
        marked = sorted(dict.fromkeys(kinds.values()), key=lambda kind: kind[1])
        looks, count = {}, 0
        for name, entry in entries.items():
            if entry.role == "baseline":
                looks[name] = Look(INK, "o", "-", filled=False)
            elif entry.role != "control" and self.base(name) == name:
                turn, place = divmod(count, len(PALETTE))
                turn, count = turn % len(FILLED), count + 1
                looks[name] = Look(PALETTE[place], FILLED[turn], SOLID[turn], filled=True)
        looks |= {n: looks[self.base(n)] for n in entries if n not in (*looks, *controls)}
        for name in controls:
            of, kind = entries[name].of, marked.index(kinds[name])
            colour = looks[of].colour if of else MUTED
            marks = HOLLOW[kind % len(HOLLOW)], DASHED[kind % len(DASHED)]
            looks[name] = Look(colour, *marks, filled=False)
        return looks

    def _nth(self, name: str) -> int:
        """How many controls of the same kind and of the same refiner come before one."""
        own = self.refiners[name]
        if own.of is None:
            return 0
        same = [n for n, e in self.refiners.items() if (e.kind, e.of) == (own.kind, own.of)]
        return same.index(name)
