"""params.yaml, read and checked: every error names the key, the value and what is allowed."""

from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from replication.settings.schema import Settings

PARAMS = Path("params.yaml")


class SettingsError(SystemExit):
    """Ends a stage with a message and exit status 1, without a traceback."""


def load(path: Path | str = PARAMS, profile: str | None = None) -> Settings:
    """Settings of the active profile (`run`), or of another one by its name.

    SettingsError naming the file, the key, the value and what is allowed.
    """
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}; run from the repository's root") from error
    except yaml.YAMLError as error:
        raise SettingsError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise SettingsError(f"{path}: a mapping of settings is expected, got {content!r:.60}")
    profiles = content.get("profiles", {})
    if unknown := set(content) - {*Settings.model_fields, "readings", "profiles"}:
        raise SettingsError(f"{path}: unknown key {sorted(unknown)[0]!r} at the top level")
    if profile is not None and profile not in profiles:
        raise SettingsError(f"{path}: profile {profile!r} is none of {', '.join(profiles)}")
    chosen = profiles[profile] if profile else content.get("run")
    fields = {k: content[k] for k in Settings.model_fields if k in content} | {"run": chosen}
    try:
        return Settings.model_validate(fields)
    except ValidationError as error:
        lines = [f"{path}: {_describe(e, fields)}" for e in error.errors()]
        raise SettingsError("\n".join(lines)) from error


def _describe(error: dict[str, Any], fields: Any) -> str:
    """One line for one error: key, what is expected, what was found."""
    key = []
    for i, part in enumerate(error["loc"]):
        fields = fields if isinstance(fields, dict | list) else []
        inside = part in (fields if isinstance(fields, dict) else range(len(fields)))
        if inside or i + 1 == len(error["loc"]):
            key.append(str(part))
        fields = fields[part] if inside else fields
    found = error["input"]
    shown = "" if isinstance(found, dict | BaseModel) else f", got {found!r}"
    return f"{'.'.join(key)}: {error['msg'].removeprefix('Value error, ')}{shown}".removeprefix(
        ": "
    )
