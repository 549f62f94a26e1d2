"""One environment, said three ways: pyproject.toml, requirements.lock, environment.yml."""

import re
import tomllib
from pathlib import Path

import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LINES = [
    line
    for line in (ROOT / "requirements.lock").read_text().splitlines()
    if line and not line.startswith("#")
]
PYTHONS = ("3.11", "3.12")


def pinned(python: str) -> dict[str, str]:
    """What the lock installs on Linux with one Python."""
    environment = {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "platform_machine": "x86_64",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "os_name": "posix",
        "extra": "",
    }
    found = {}
    for line in LINES:
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate(environment):
            assert requirement.name not in found, f"{requirement.name} twice on Python {python}"
            found[requirement.name] = next(iter(requirement.specifier)).version
    return found


def test_the_lock_pins_exactly_and_names_no_index():
    for line in LINES:
        assert re.fullmatch(r"[a-z0-9._-]+(\[[a-z,]+\])?==[^ ]+( ; .+)?", line), line
    assert "://" not in "".join(LINES)


def test_the_lock_satisfies_every_dependency():
    wanted = PROJECT["project"]["dependencies"]
    wanted += PROJECT["project"]["optional-dependencies"]["dev"]
    for python in PYTHONS:
        found = pinned(python)
        for requirement in map(Requirement, wanted):
            assert requirement.specifier.contains(found[requirement.name]), requirement


def test_conda_installs_the_lock_and_this_project():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    python = next(d for d in environment["dependencies"] if str(d).startswith("python="))
    assert python.removeprefix("python=") in PYTHONS
    pip = next(d["pip"] for d in environment["dependencies"] if isinstance(d, dict))
    assert pip == ["-r requirements.lock", "-e ."]


def test_the_python_that_the_makefile_accepts_is_the_projects():
    assert PROJECT["project"]["requires-python"] == ">=3.11"
    assert "(3, 11) <= sys.version_info" in (ROOT / "Makefile").read_text()
