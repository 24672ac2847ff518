"""`manage.py jobs`, and what `check` says of jobs."""

import sqlite3
import subprocess
import uuid
from pathlib import Path

import pytest

from tests.processes import invoke, variables


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """The environment of a development system that has been set up."""
    env = variables(
        DATABASE_URL=f"sqlite:///{tmp_path / 'test.sqlite3'}",
        INSTANCE_PATH=str(tmp_path / "instance"),
    )
    assert invoke("setup-dev", env=env).returncode == 0
    return env


def put(
    env: dict[str, str],
    name: str,
    state: str = "waiting",
    args: str = "{}",
    error: str | None = None,
) -> str:
    """A row as the queue writes it; returns its id as people see it."""
    identifier = uuid.uuid4()
    with sqlite3.connect(env["DATABASE_URL"].removeprefix("sqlite:///")) as connection:
        connection.execute(
            "INSERT INTO jobs (id, name, args, state, due_at, lease, attempt, error, created_at) "
            "VALUES "
            "(?, ?, ?, ?, '2026-01-01 00:00:00.000000', 0, 0, ?, '2026-01-01 00:00:00.000000')",
            (identifier.hex, name, args, state, error),
        )
    connection.close()
    return str(identifier)


def state_of(env: dict[str, str], identifier: str) -> str:
    shown = run(env, "show", identifier).stdout
    return next(line for line in shown.splitlines() if line.startswith("state:")).split(maxsplit=1)[
        1
    ]


def run(env: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return invoke("jobs", *arguments, env=env)


def test_list_shows_jobs_by_state_and_name(env: dict[str, str]) -> None:
    assert run(env, "list").stdout == ""
    cleaning = put(env, "jobs.delete_finished")
    dead = put(env, "accounts.send_link", "dead", error="No luck.\nAt all.")
    everything = run(env, "list").stdout
    assert cleaning in everything
    assert dead in everything
    assert run(env, "list", "--state", "dead").stdout.split()[0] == dead
    assert "0/20" in run(env, "list", "--state", "dead").stdout
    assert "No luck." in run(env, "list", "--name", "accounts.send_link").stdout
    assert "At all." not in run(env, "list").stdout
    assert len(run(env, "list", "-n", "1").stdout.splitlines()) == 1
    assert run(env, "list", "--state", "nonsense").returncode == 2


def test_show_shows_everything_of_one(env: dict[str, str]) -> None:
    dead = put(env, "accounts.send_link", "dead", '{"user_id": 7}', "No luck.\nAt all.")
    shown = run(env, "show", dead).stdout
    for words in (
        "accounts.send_link",
        '{"user_id": 7}',
        "dead",
        "0/20",
        "2026-01-01",
        "No luck.\nAt all.",
    ):
        assert words in shown
    assert "unknown to this release" in run(env, "show", put(env, "nobody.knows")).stdout


@pytest.mark.parametrize("command", ["show", "run", "retry", "discard"])
def test_an_id_that_is_none_or_nobodys_is_said_to_be(env: dict[str, str], command: str) -> None:
    process = run(env, command, "nonsense")
    assert process.returncode == 2
    assert "nonsense" in process.stderr
    process = run(env, command, str(uuid.uuid4()))
    assert process.returncode == 1
    assert len(process.stderr.strip().splitlines()) == 1
    assert run(env, command).returncode == 2


def test_retry_and_discard_change_what_does_not_run(env: dict[str, str]) -> None:
    dead, running = (
        put(env, "jobs.delete_finished", "dead"),
        put(env, "jobs.delete_finished", "running"),
    )
    assert run(env, "retry", dead).stdout == "Retrying 1 job.\n"
    assert state_of(env, dead) == "waiting"
    assert run(env, "discard", dead).stdout == "Discarded 1 job.\n"
    assert state_of(env, dead) == "discarded"
    process = run(env, "retry", dead, running)
    assert process.returncode == 1
    assert "1 of 2" in process.stderr
    assert state_of(env, running) == "running"


def test_run_runs_one_now_and_says_how_it_went(env: dict[str, str]) -> None:
    well = put(env, "jobs.delete_finished")
    assert run(env, "run", well).stdout == "jobs.delete_finished is done.\n"
    assert state_of(env, well) == "done"
    badly = put(env, "jobs.delete_finished", args='{"nonsense": 1}')
    process = run(env, "run", badly)
    assert process.returncode == 1
    assert "nonsense" in process.stderr
    assert state_of(env, badly) == "waiting"
    assert (
        "runs at this moment" in run(env, "run", put(env, "jobs.delete_finished", "running")).stderr
    )
    assert "knows no job named nobody.knows" in run(env, "run", put(env, "nobody.knows")).stderr


def test_check_names_dead_jobs_and_those_of_another_release(env: dict[str, str]) -> None:
    assert "qb.W003" not in invoke("check", env=env).stderr
    put(env, "jobs.delete_finished", "dead")
    put(env, "nobody.knows")
    said = invoke("check", env=env).stderr
    assert "qb.W003: Dead jobs named jobs.delete_finished: 1." in said
    assert "qb.W004: Jobs named nobody.knows, which this release does not know: 1." in said
