"""params.yaml and profiles/*.yaml, read and checked; and the switch between profiles.

YAML is read as DVC reads it, version 1.2 without duplicate keys.
"""

import re
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML, YAMLError
from ruamel.yaml.error import MarkedYAMLError

from replication.files import write_text
from replication.settings.fields import Strict
from replication.settings.settings import Settings

PARAMS, PROFILES, PIPELINE = Path("params.yaml"), Path("profiles"), Path("dvc.yaml")
OWN = ("readings", "refiners")
"""Sections of params.yaml that a profile may add to, for itself alone."""
SWITCH = re.compile(r"^( *- profiles/)([\w.-]+)(\.yaml\b.*)$", re.MULTILINE)


class SettingsError(SystemExit):
    """Ends a stage with a message and exit status 1, without a traceback."""


def load(profile: str | None = None) -> Settings:
    """The definitions of params.yaml with a profile, the active one by default.

    SettingsError naming the file, the key, the value and what is allowed.
    """
    chosen = _file(active() if profile is None else profile)
    contents = _mapping(PARAMS)
    if "profile" in contents:
        raise SettingsError(f"{PARAMS}: profile: is chosen in {PIPELINE}, not here")
    contents["profile"] = _mapping(chosen)
    if (name := contents["profile"].get("profile")) != chosen.stem:
        raise SettingsError(f"{chosen}: profile: {chosen.stem} is expected, got {name!r}")
    own = _move_own(contents, chosen)
    try:
        return Settings.model_validate(contents)
    except ValidationError as error:
        lines = [_described(found, contents, chosen, own) for found in error.errors()]
        raise SettingsError("\n".join(lines)) from error


def profiles() -> list[str]:
    return sorted(path.stem for path in PROFILES.glob("*.yaml"))


def active() -> str:
    """The profile that `dvc repro` runs: the switch at the top of dvc.yaml."""
    return _switch(_text(PIPELINE))[2]


def switch(profile: str) -> str:
    """Make a profile the active one; returns the one before."""
    _file(profile)
    text = _text(PIPELINE)
    before = _switch(text)[2]
    write_text(PIPELINE, SWITCH.sub(rf"\g<1>{profile}\g<3>", text, count=1))
    return before


def _file(profile: str) -> Path:
    if profile not in profiles():
        raise SettingsError(f"no profile {profile!r}; there are {', '.join(profiles())}")
    return PROFILES / f"{profile}.yaml"


def _switch(text: str) -> re.Match[str]:
    if (found := SWITCH.search(text)) is None:
        raise SettingsError(f"{PIPELINE}: `- profiles/NAME.yaml` below `vars:` is expected")
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}; run from the repository's root") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path}: is not UTF-8 ({error.reason}); save it as UTF-8") from error


def _mapping(path: Path) -> dict[str, Any]:
    try:
        content = YAML(typ="safe").load(_text(path))
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1
        what = ", ".join(filter(None, (error.context, error.problem)))
        raise SettingsError(f"{path}: not valid YAML: line {line}: {what}") from error
    except (YAMLError, ValueError) as error:  # ValueError: a date that does not exist
        raise SettingsError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise SettingsError(f"{path}: a mapping of settings is expected, got {content!r:.60}")
    return content


def _move_own(contents: dict[str, Any], profile: Path) -> list[str]:
    """Put a profile's own definitions among those of params.yaml; their keys, `readings.NAME`."""
    keys = []
    for section in OWN:
        own, defined = contents["profile"].pop(section, {}), contents.get(section)
        if not isinstance(own, dict):
            raise SettingsError(f"{profile}: {section}: definitions are expected, got {own!r:.60}")
        if not isinstance(defined, dict):
            continue  # which the types refuse
        if twice := [name for name in own if name in defined]:
            key = f"{section}.{twice[0]}"
            raise SettingsError(f"{profile}: {key}: is defined in {PARAMS} as well; rename one")
        contents[section] = defined | own
        keys += [f"{section}.{name}" for name in own]
    return keys


def _names(kind: type[BaseModel]) -> Iterator[str]:
    """Every key that a file of settings can have."""
    yield from kind.model_fields
    for narrower in kind.__subclasses__():
        yield from _names(narrower)


def _described(error: dict[str, Any], fields: Any, profile: Path, own: list[str]) -> str:
    """One line for one error: file, key, what is expected, what was found.

    own: keys of what the profile defines itself.
    """
    location, in_profile = list(error["loc"]), error["loc"][:1] == ("profile",)
    key = []
    for i, part in enumerate(location):
        fields = fields if isinstance(fields, dict | list) else []
        inside = part in (fields if isinstance(fields, dict) else range(len(fields)))
        if inside or (i + 1 == len(location) and error["type"] == "missing"):
            key.append(str(part))
        fields = fields[part] if inside else fields
    key = key[in_profile:]
    in_profile |= ".".join(map(str, location[:2])) in own
    where = f"{profile if in_profile else PARAMS}: "
    found, message = error["input"], error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        close = get_close_matches(str(location[-1]), sorted(set(_names(Strict))), 2)
        message = "no such setting" + (f"; is {' or '.join(close)} meant?" if close else "")
    told = error["type"] == "value_error" or isinstance(found, dict | BaseModel)
    shown = "" if told else f", got {found!r}"
    if not location:
        mine = message.startswith(tuple(f"{name}{end}" for name in own for end in ".:"))
        defined = message.startswith(("upstreams.", "refiners.", "models.")) and not mine
        where = f"{PARAMS if defined else profile}: "
    return f"{where}{'.'.join(key)}{': ' if key else ''}{message}{shown}"
