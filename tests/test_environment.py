"""One environment, said four ways: pyproject.toml, two lock files, environment.yml; and make."""

import re
import subprocess
import tomllib
from functools import cache
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from ruamel.yaml import YAML

from replication.settings import load

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
LOCK, CPU = "requirements.lock", "requirements-cpu.lock"
PYTHONS = ("3.11", "3.12", "3.13")
MACHINES = {
    ("linux", "Linux", "posix"): ("x86_64", "aarch64"),
    ("darwin", "Darwin", "posix"): ("arm64",),
    ("win32", "Windows", "nt"): ("AMD64",),
}
EVERYWHERE = [
    (python, *system, machine)
    for python in PYTHONS
    for system, machines in MACHINES.items()
    for machine in machines
]
CUDA = re.compile(r"nvidia-|cuda-|triton$")


@cache
def lines(lock):
    return [x for x in (ROOT / lock).read_text().splitlines() if x and not x.startswith("#")]


@cache
def pinned(lock, python, platform, system, os_name, machine):
    """What a lock installs: name -> version."""
    environment = {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "sys_platform": platform,
        "platform_system": system,
        "platform_machine": machine,
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "os_name": os_name,
        "extra": "",
    }
    found = {}
    for line in lines(lock):
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate(environment):
            assert requirement.name not in found, f"{requirement.name} twice"
            found[requirement.name] = next(iter(requirement.specifier)).version
    return found


@pytest.mark.parametrize("lock", [LOCK, CPU])
def test_a_lock_pins_exactly_and_names_no_index(lock):
    for line in lines(lock):
        assert re.fullmatch(r"[a-z0-9._-]+(\[[a-z,]+\])?==[^ ]+( ; .+)?", line), line
    text = (ROOT / lock).read_text()
    assert "://" not in text
    assert "index-url" not in text


@pytest.mark.parametrize("lock", [LOCK, CPU])
@pytest.mark.parametrize("place", EVERYWHERE, ids="-".join)
def test_a_lock_satisfies_every_dependency_and_extra(lock, place):
    found = pinned(lock, *place)
    for wanted in map(
        Requirement, (*PROJECT["dependencies"], *EXTRAS["replication"], *EXTRAS["dev"])
    ):
        version = found[canonicalize_name(wanted.name)]
        assert wanted.specifier.contains(version), f"{wanted}: {version}"


def test_the_cpu_lock_is_what_its_first_lines_say():
    head = [x for x in (ROOT / CPU).read_text().splitlines() if x.startswith("#")]
    command = next(x for x in head if x.startswith("# Made with: ")).removeprefix("# Made with: ")
    done = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == lines(CPU)


@pytest.mark.parametrize("place", EVERYWHERE, ids="-".join)
def test_the_cpu_lock_has_the_same_pins_without_cuda(place):
    full, cpu = pinned(LOCK, *place), pinned(CPU, *place)
    assert {name for name in full if not CUDA.match(name)} == set(cpu)
    built = {"torch", "torchvision"}
    assert {n: v for n, v in cpu.items() if n not in built} == {n: full[n] for n in {*cpu} - built}
    suffix = "+cpu" if place[-1] in ("x86_64", "AMD64") else ""
    for name in built:
        assert cpu[name] == full[name] + suffix


def test_without_the_extra_comes_what_the_method_needs():
    assert [Requirement(x).name for x in PROJECT["dependencies"]] == ["torch"]
    assert "torch" not in {Requirement(x).name for x in EXTRAS["replication"]}
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"][
        "py-modules"
    ] == ["saflex"]


def test_conda_installs_the_lock_and_this_project():
    environment = YAML(typ="safe").load((ROOT / "environment.yml").read_text())
    python = next(d for d in environment["dependencies"] if str(d).startswith("python="))
    assert python.removeprefix("python=") in PYTHONS
    pip = next(d["pip"] for d in environment["dependencies"] if isinstance(d, dict))
    assert pip == ["-r requirements.lock", "-e .[replication,dev]"]


def test_the_python_that_the_makefile_accepts_is_the_projects():
    assert PROJECT["requires-python"] == ">=3.11"
    text = (ROOT / "Makefile").read_text()
    assert "(3, 11) <= sys.version_info < (3, 14)" in text


def test_ci_runs_on_every_python_that_is_promised():
    workflow = YAML(typ="safe").load((ROOT / ".github/workflows/ci.yml").read_text())
    (job,) = workflow["jobs"].values()
    assert tuple(job["strategy"]["matrix"]["python"]) == PYTHONS
    assert {"run": ".ci/run", "env": {"CPU": "1"}} in job["steps"]


def test_pre_commit_runs_what_make_lint_runs():
    config = YAML(typ="safe").load((ROOT / ".pre-commit-config.yaml").read_text())
    (repo,) = config["repos"]
    assert {hook["language"] for hook in repo["hooks"]} == {"system"}
    lint = re.search(r"^lint:.*\n\t(.+)$", (ROOT / "Makefile").read_text(), re.M)[1]
    wanted = [re.sub(r" (\.|--check)", "", command) for command in lint.split(" && ")]
    assert [hook["entry"].removesuffix(" --force-exclude") for hook in repo["hooks"]] == wanted


def test_the_site_is_pinned_in_its_extra_and_not_locked():
    pinned_here = [Requirement(x) for x in EXTRAS["docs"]]
    assert all(str(x.specifier).startswith("==") for x in pinned_here)
    assert not {x.name for x in pinned_here} & {x.split("==")[0] for x in lines(LOCK)}


def test_ray_is_left_to_those_who_have_a_cluster():
    assert [Requirement(x).name for x in EXTRAS["cluster"]] == ["ray"]
    assert "ray" not in {x.split("==")[0] for x in lines(LOCK)}


def test_the_version_and_its_date_are_the_same_wherever_they_stand():
    citation = YAML(typ="safe").load((ROOT / "CITATION.cff").read_text())
    heads = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    released = next(head for head in heads if head != "Unreleased")
    assert str(citation["version"]) == PROJECT["version"]
    assert released == f"{citation['version']}, {citation['date-released']}"


# ---- make ----------------------------------------------------------------------------------------
@pytest.fixture
def make(tmp_path, monkeypatch):
    """`make` in a folder with the project's files and no environment; its output."""
    for name in ("Makefile", "dvc.yaml", "pyproject.toml", LOCK, CPU):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    (tmp_path / "profiles").symlink_to(ROOT / "profiles")
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
    for name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS"):
        monkeypatch.delenv(name, raising=False)

    def run(*words, check=True):
        done = subprocess.run(["make", *words], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0 or not check, done.stderr
        return done.stdout + done.stderr

    run.folder = tmp_path
    return run


def test_make_repro_says_first_how_long_it_takes(make):
    text = make("-n", "repro")
    assert text.index("total: ") < text.index("-m venv") < text.index("dvc repro")
    minutes = load("quick").profile.minutes
    parts = f"(5 for the environment, {minutes} for profile quick"
    assert f"about {5 + minutes} minutes on two cores {parts}" in make("total")
    (make.folder / ".venv").mkdir()
    (make.folder / ".venv/installed").touch()
    parts = f"(0 for the environment, {minutes} for"
    assert f"about {minutes} minutes on two cores {parts}" in make("total")
    pipeline = make.folder / "dvc.yaml"
    pipeline.write_text(
        pipeline.read_text().replace("profiles/quick.yaml", "profiles/full.yaml", 1)
    )
    assert "total: nobody measured profile full" in make("total")


def test_make_repro_runs_two_stages_at_a_time_or_as_many_as_it_is_told(make):
    for words, jobs in (((), 2), (("JOBS=3",), 3)):
        text = make("-n", "repro", *words)
        side_by_side = f"python -m replication.stages.repro --jobs {jobs}\n"
        assert text.index(side_by_side) < text.index("\ndvc repro\n")
    assert "stages.repro" not in make("-n", "repro", "JOBS=1")


@pytest.mark.parametrize(("words", "lock"), [((), LOCK), (("CPU=1",), CPU)])
def test_make_installs_the_lock_that_was_asked_for(make, words, lock):
    text = make("-n", ".venv/installed", *words)
    assert f"pip install --quiet --disable-pip-version-check -r {lock}\n" in text


def test_the_address_of_cpu_builds_is_pips_variable_and_can_be_replaced(make, monkeypatch):
    show = "--eval=show: ; @echo [$$PIP_EXTRA_INDEX_URL]"
    assert "[]" in make(show, "show")
    assert "[https://download.pytorch.org/whl/cpu]" in make(show, "show", "CPU=1")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "/my/wheels")
    assert "[/my/wheels]" in make(show, "show", "CPU=1")


def test_make_profile_turns_the_switch(make):
    """`python` of the environment is stood in for, since there is none."""
    programs = make.folder / ".venv/bin"
    programs.mkdir(parents=True)
    (programs / "python").write_text('#!/bin/sh\necho "python $*"\n')
    (programs / "python").chmod(0o755)
    (make.folder / ".venv/installed").touch()
    assert "python -m replication.settings small\n" in make("profile", "NAME=small")
    without = make("profile", check=False)
    assert "make profile NAME=..." in without
    assert "profiles/small.yaml" in without
    make("profile", "NAME=a; touch X")
    assert not (make.folder / "X").exists()


@pytest.mark.parametrize("place", [".git", ".dvc/config.local", None])
def test_make_repro_says_what_it_lacks_and_makes_the_folder_of_your_own(make, place):
    programs = make.folder / ".venv/bin"
    programs.mkdir(parents=True)
    for name in ("python", "dvc"):
        (programs / name).write_text(f'#!/bin/sh\necho "{name} $*"\n')
        (programs / name).chmod(0o755)
    (make.folder / ".venv/installed").touch()
    if place:
        (make.folder / place).parent.mkdir(exist_ok=True)
        (make.folder / place).write_text("[core]\n    no_scm = true\n")
        assert "dvc repro\n" in make("repro")
        assert (make.folder / "data/own").is_dir()
    else:
        assert "git init, or dvc config --local core.no_scm true" in make("repro", check=False)


# ---- git -----------------------------------------------------------------------------------------
def ignored(path):
    command = ["git", "check-ignore", "-q", "--no-index", path]
    return subprocess.run(command, cwd=ROOT).returncode == 0


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="no clone")
def test_of_data_git_has_the_readme_of_your_own_and_nothing_else():
    assert not ignored("data/own/README.md")
    assert (ROOT / "data/own/README.md").exists()
    for path in ("own/mine/mine.csv", "own/x.csv", "embedded/x.csv", "sets/x/x.npz", "plan/x.json"):
        assert ignored(f"data/{path}"), path
