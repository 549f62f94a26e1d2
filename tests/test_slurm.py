"""What docs/slurm.md shows works: each command up to its work, scripts as SLURM would run them."""

import re
import shlex
import subprocess
from importlib import import_module
from pathlib import Path

import pytest

from replication.stages import clock, cluster, generate, missing, report, side_by_side, table, train

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs/slurm.md").read_text()
SCRIPTS = [code for code in re.findall(r"```bash\n(.*?)```", TEXT, re.S) if "#!" in code]
COMMANDS = re.findall(
    r"(?:python|torchrun --standalone --nproc-per-node 4) -m (replication.+?)[`\n]", TEXT
)
METHOD = "contrastive iwildcam flyp randaugment none"


@pytest.fixture
def reached(monkeypatch):
    """The work of every stage is stood in for, and noted."""
    found = []

    def stand_in(module, name, answer):
        monkeypatch.setattr(module, name, lambda *_: found.append(name) or answer)

    monkeypatch.chdir(ROOT)
    stand_in(side_by_side, "run", [])
    stand_in(cluster, "train_methods", [])
    stand_in(train, "run", None)
    stand_in(generate, "generate", None)
    stand_in(table, "table", (Path(), []))
    stand_in(report, "report", [])
    monkeypatch.setattr(missing.cells, "result", lambda *_: None)
    monkeypatch.setattr(clock, "record", lambda *_: None)
    return found


def run(monkeypatch, command):
    module, *words = shlex.split(command.partition(">")[0])
    monkeypatch.setattr("sys.argv", [module, *words])
    import_module(module).main()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_taken_and_reaches_its_work(command, reached, monkeypatch):
    run(monkeypatch, command.replace("$method", METHOD))
    assert reached or "--list" in command


def test_the_page_has_a_command_for_each_step():
    modules = {command.split()[0].rpartition(".")[2] for command in COMMANDS}
    assert modules == {"missing", "train", "generate", "table", "report"}
    assert len(SCRIPTS) == 2


def as_task(folder, script, **variables):
    """What a script runs, with its environment."""
    stand_in = folder / "python"
    stand_in.write_text('#!/bin/sh\necho "$SAFLEX_JOBS/$RANK/$WORLD_SIZE python $*"\n')
    stand_in.chmod(0o755)
    environment = {"PATH": f"{folder}:/usr/bin:/bin"} | variables
    done = subprocess.run(
        ["bash", "-eu", "-c", script], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_tasks_of_the_array_train_the_methods_of_the_list(tmp_path, reached, monkeypatch, capsys):
    run(monkeypatch, next(command for command in COMMANDS if "--list" in command))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 100
    (tmp_path / "methods.txt").write_text("\n".join(lines) + "\n")
    for number in (1, 2, len(lines)):
        ran = as_task(tmp_path, SCRIPTS[0], SLURM_ARRAY_TASK_ID=str(number), RANK="", WORLD_SIZE="")
        command = ran.removeprefix("5// python -m ")
        assert command == f"replication.stages.train full {lines[number - 1]}"
        run(monkeypatch, command)
    assert reached == ["run"] * 3


def test_shards_share_the_images(tmp_path):
    variables = {"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "16", "SAFLEX_JOBS": ""}
    assert as_task(tmp_path, SCRIPTS[1], **variables).startswith("/3/16 python -m replication")
