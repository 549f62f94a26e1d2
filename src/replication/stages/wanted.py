"""A stage's command line: a profile, and the fields of what it is to make."""

import argparse
from collections.abc import Sequence
from typing import TypeVar

from pydantic import BaseModel

from replication import settings

Entry = TypeVar("Entry", bound=BaseModel)


def wanted(doc: str, *fields: str) -> tuple[settings.Settings, dict[str, str]]:
    """The settings of the profile that a command line names, and its fields. doc: the stage's."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    for key in ("profile", *fields):
        parser.add_argument(key)
    named = vars(parser.parse_args())
    return settings.load(named.pop("profile")), named


def planned(
    entries: Sequence[Entry], everything: settings.Settings, named: dict[str, str]
) -> list[Entry]:
    """The entries of a profile's plan that have these fields, methods their method's.

    SystemExit if none has.
    """
    found = [e for e in entries if named.items() <= vars(getattr(e, "method", e)).items()]
    if not found:
        told = ", ".join(f"{key} {value}" for key, value in named.items())
        raise SystemExit(f"profiles/{everything.profile.profile}.yaml has nothing with {told}")
    return found
