"""`manage.py jobs`, and what `check` says of jobs."""

import json
import re
import sqlite3
import subprocess
import uuid
from pathlib import Path

import pytest

from tests.jobs.declared import RAN
from tests.processes import invoke, manage, variables

LATER = "2999-01-01 00:00:00.000000"  # when a lease ends that is not over


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
    leased_until: str | None = None,
) -> str:
    """A row as the queue writes it; returns its id as people see it."""
    identifier = uuid.uuid4()
    with sqlite3.connect(env["DATABASE_URL"].removeprefix("sqlite:///")) as connection:
        connection.execute(
            "INSERT INTO jobs (id, name, args, state, due_at, lease, attempt, error, leased_until, "
            "created_at) VALUES (?, ?, ?, ?, '2026-01-01 00:00:00.000000', 0, 0, ?, ?, "
            "'2026-01-01 00:00:00.000000')",
            (identifier.hex, name, args, state, error, leased_until),
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
        put(env, "jobs.delete_finished", "running", leased_until=LATER),
    )
    assert run(env, "retry", dead).stdout == "1 job is due now.\n"
    assert state_of(env, dead) == "waiting"
    assert run(env, "discard", dead).stdout == "1 job is discarded.\n"
    assert state_of(env, dead) == "discarded"
    process = run(env, "retry", dead, running)
    assert process.returncode == 1
    assert "1 job is due now, of 2" in process.stderr
    assert state_of(env, running) == "running"


def test_run_runs_one_now_and_says_how_it_went(env: dict[str, str]) -> None:
    well = put(env, "jobs.delete_finished")
    assert run(env, "run", well).stdout == f"jobs.delete_finished ({well}) is done.\n"
    assert state_of(env, well) == "done"
    badly = put(env, "jobs.delete_finished", args='{"nonsense": 1}')
    process = run(env, "run", badly)
    assert process.returncode == 1
    assert "nonsense" in process.stderr
    assert state_of(env, badly) == "waiting"
    assert (
        "runs at this moment"
        in run(env, "run", put(env, "jobs.delete_finished", "running", leased_until=LATER)).stderr
    )
    assert "knows no job named nobody.knows" in run(env, "run", put(env, "nobody.knows")).stderr


def test_run_repeats_a_job_that_is_done_only_when_told_to(env: dict[str, str]) -> None:
    done = put(env, "jobs.delete_finished", "done")
    process = run(env, "run", done)
    assert process.returncode == 1
    assert "is done. To run it once more, add: --again" in process.stderr
    assert "attempts:    0/" in run(env, "show", done).stdout
    assert run(env, "run", done, "--again").returncode == 0
    assert "attempts:    1/" in run(env, "show", done).stdout


def test_run_starts_a_new_job_by_its_name(env: dict[str, str]) -> None:
    """In a process of its own: this one has declared every job already."""
    process = manage("jobs", "run", "jobs.delete_finished", env=env)
    assert process.returncode == 0, process.stderr
    [identifier] = re.findall(r"\((.+)\) is done", process.stdout)
    assert state_of(env, identifier) == "done"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["tests.needs_argument"], "Did you mean tests.needs_arguments"),
        (["tests.needs_arguments"], "missing a required argument: 'value'"),
        (
            ["tests.needs_arguments", "valu=1"],
            "tests.needs_arguments takes: value: int, many: list[int] | None = None.",
        ),
        (["tests.needs_arguments", "value"], "'value' is no argument: write ARGUMENT=VALUE"),
        (["tests.needs_arguments", "value=1", "value=2"], "value is given twice"),
        (["tests.needs_arguments", "value=much"], "value=much: Input should be a valid integer"),
        (["tests.needs_arguments", "value=1", "many=3"], "many=3: "),
        (["tests.needs_arguments", "value=1", "many=[1,"], "written as JSON, like [1,2]"),
        (["tests.needs_arguments", "value=1", "many=1,2"], "written as JSON, like [1,2]"),
        (["qqq"], "There are: accounts."),
        ([str(uuid.uuid4()), "value=1"], "has its arguments already"),
        (["\x1b[31m"], "no job named \\x1b[31m"),
        (["tests.note", "value=NaN"], "'value' of tests.note cannot be stored"),
        (["tests.note", "value=\udcff"], "half of a surrogate pair"),
        (["tests.note", "value=" + "x" * 9000], "are too large"),
        (["tests.note", "value=" + "[" * 40 + "]" * 40], "nests more than 30"),
        (["tests.note", "--again"], "A new job needs no --again"),
    ],
)
def test_run_says_what_a_job_takes(env: dict[str, str], arguments: list[str], words: str) -> None:
    process = run(env, "run", *arguments)
    assert process.returncode == 2
    assert words in process.stderr
    assert run(env, "list").stdout == ""


def test_run_reads_arguments_as_the_job_declares_them(env: dict[str, str]) -> None:
    process = run(env, "run", "tests.needs_arguments", "value=7", "many=[1, 2]")
    assert process.returncode == 0, process.stderr
    assert RAN == [(7, [1, 2])]


@pytest.mark.parametrize(
    ("name", "value"), [("tests.maybe_text", None), ("tests.text", "null"), ("tests.note", None)]
)
def test_null_is_nothing_wherever_that_may_be(
    env: dict[str, str], name: str, value: str | None
) -> None:
    process = run(env, "run", name, "value=null")
    assert process.returncode == 0, process.stderr
    assert [value] == RAN


def test_annotations_that_nothing_is_known_of_take_anything(env: dict[str, str]) -> None:
    process = run(env, "run", "tests.odd_annotations", "value=5")
    assert process.returncode == 0, process.stderr
    assert RAN == [(5, None)]


def test_jobs_are_chosen_by_what_they_are(env: dict[str, str]) -> None:
    """A hundred of each kind; the command that changes some leaves the others."""
    for number in range(4):
        put(env, "accounts.send_link", "dead", error=f"Connection refused {number} 100%")
        put(env, "jobs.delete_finished", "dead", error="No luck")
    link = ["--name", "accounts.send_link", "--error", "connection REFUSED"]
    assert len(run(env, "list", *link).stdout.splitlines()) == 4
    assert run(env, "list", *link, "--error", "2 100%").stdout.count("\n") == 1
    assert run(env, "list", "--error", "%").stdout.count("\n") == 4, "it is no pattern"
    assert run(env, "list", "--before", "2026-01-01").stdout == ""
    assert run(env, "list", "--before", "2026-01-01T00:00:01").stdout.count("\n") == 8
    assert run(env, "list", "--before", "1m").stdout.count("\n") == 8
    assert run(env, "discard", "--state", "dead", *link).stdout == "4 jobs are discarded.\n"
    assert run(env, "list", "--state", "dead").stdout.count("\n") == 4
    assert run(env, "retry", "--state", "discarded").stdout == "4 jobs are due now.\n"
    assert (
        run(env, "retry", "--state", "discarded").stdout
        == "There is no job that could be due now.\n"
    )


def test_changing_needs_a_choice_and_takes_one_kind_of_it(env: dict[str, str]) -> None:
    dead = put(env, "jobs.delete_finished", "dead")
    for command in ("retry", "discard"):
        assert "choose them by" in run(env, command).stderr
        assert "not both" in run(env, command, dead, "--state", "dead").stderr
    assert state_of(env, dead) == "dead"


@pytest.mark.parametrize("option", ["--name", "--error"])
@pytest.mark.parametrize("value", ["", "a\0", "\udcff"])
def test_nothing_is_not_everything(env: dict[str, str], option: str, value: str) -> None:
    """As a variable of a shell that is not set."""
    dead = put(env, "jobs.delete_finished", "dead")
    for command in ("list", "retry", "discard"):
        assert run(env, command, option, value).returncode == 2
    assert state_of(env, dead) == "dead"


def test_an_error_says_what_was_changed_before_it(env: dict[str, str]) -> None:
    ids = sorted(put(env, "jobs.delete_finished", "dead") for _ in range(6))
    with sqlite3.connect(env["DATABASE_URL"].removeprefix("sqlite:///")) as connection:
        connection.execute(
            "CREATE TRIGGER refuse BEFORE UPDATE ON jobs "
            f"WHEN OLD.id = '{ids[4].replace('-', '')}' BEGIN SELECT RAISE(ABORT, 'refused'); END"
        )
    connection.close()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("app.jobs.changing.BATCH", 2)
        patched.setattr("app.jobs.service.BATCH", 2)
        process = run(env, "discard", "--state", "dead")
    assert process.returncode == 1
    assert "refused. Before that 4 jobs are discarded.\n" in process.stderr
    assert [state_of(env, each) for each in ids] == ["discarded"] * 4 + ["dead"] * 2


def test_jobs_of_the_former_release_are_not_the_newest(env: dict[str, str]) -> None:
    """Their ids were random; those of today begin with the time."""
    old = put(env, "jobs.delete_finished", "dead")
    assert run(env, "run", "jobs.delete_finished").returncode == 0
    lines = run(env, "list").stdout.splitlines()
    assert [line.split()[0] == old for line in lines] == [False, True]
    assert run(env, "list", "-n", "1").stdout.splitlines() == lines[:1]


def test_a_job_that_fails_by_hand_says_what_becomes_of_it(env: dict[str, str]) -> None:
    process = run(env, "run", "tests.fail")
    assert process.returncode == 1
    assert "failed: ValueError: no\\x00 luck\nA worker tries it again after 20" in process.stderr
    assert "in fail" in process.stderr, "its traceback"
    process = run(env, "run", "tests.give_up")
    assert "failed: There is no such thing.\ntests.give_up is dead." in process.stderr
    assert "Traceback" not in process.stderr


@pytest.mark.parametrize("command", ["list", "retry", "discard"])
def test_a_name_that_is_not_declared_is_said_to_be(env: dict[str, str], command: str) -> None:
    process = run(env, command, "--name", "tests.needs_argument")
    assert process.returncode == 0
    assert "knows no job named tests.needs_argument. Did you mean tests.needs" in process.stderr
    assert run(env, command, "--name", "tests.note").stderr in ("There are none.\n", "")


@pytest.mark.parametrize(
    ("command", "state", "words"),
    [
        ("retry", "done", "is done"),
        ("discard", "done", "is done"),
        ("discard", "discarded", "is discarded"),
        ("retry", "running", "runs now"),
    ],
)
def test_one_job_that_is_not_changed_is_said_to_be_what_it_is(
    env: dict[str, str], command: str, state: str, words: str
) -> None:
    identifier = put(env, "tests.note", state, leased_until=LATER)
    process = run(env, command, identifier)
    assert process.returncode == 1
    assert process.stderr == f"Error: Nothing was changed: tests.note ({identifier}) {words}.\n"


@pytest.mark.parametrize("priority", ["7", "'high'"])
def test_a_priority_that_is_none_is_shown_as_it_is(env: dict[str, str], priority: str) -> None:
    identifier = put(env, "tests.note")
    with sqlite3.connect(env["DATABASE_URL"].removeprefix("sqlite:///")) as connection:
        connection.execute(f"UPDATE jobs SET priority = {priority}")
    connection.close()
    assert f"priority:    {priority.strip(chr(39))}" in run(env, "show", identifier).stdout
    assert run(env, "list").returncode == 0


def test_an_id_that_is_given_twice_is_one(env: dict[str, str]) -> None:
    dead = put(env, "jobs.delete_finished", "dead")
    assert run(env, "retry", dead, dead).stdout == "1 job is due now.\n"


@pytest.mark.parametrize("command", ["retry", "discard"])
def test_a_job_whose_worker_died_is_helped_whatever_its_name(
    env: dict[str, str], command: str
) -> None:
    lost = put(env, "renamed.since", "running", leased_until="2026-01-01 00:00:30.000000")
    assert run(env, command, lost).returncode == 0
    after = {"retry": "waiting", "discard": "discarded"}[command]
    assert state_of(env, lost) == f"{after}, and unknown to this release"


def test_what_others_wrote_does_not_reach_the_terminal_as_it_is(env: dict[str, str]) -> None:
    evil = "\x1b]0;owned\x07\r\u202e\x9b31m\x7f"
    identifier = put(env, f"a{evil}", "dead", error=f"{evil}\nsecond")
    for command in (["list"], ["show", identifier]):
        shown = run(env, *command).stdout
        assert not set(shown) & set("\x1b\x07\r\u202e\x9b\x7f")
        assert "\\x1b]0;owned\\x07" in shown
    [line] = run(env, "list", "--json").stdout.splitlines()
    assert json.loads(line)["error"] == f"{evil}\nsecond"
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(run(env, "show", identifier, "--json").stdout)["id"] == identifier


@pytest.mark.parametrize("number", ["0", "-1", "9" * 20, "many"])
def test_a_number_that_no_database_takes_is_refused(env: dict[str, str], number: str) -> None:
    assert run(env, "list", "-n", number).returncode == 2


@pytest.mark.parametrize(
    "moment",
    [
        "yesterday",
        "999999d",
        "2026-13-01",
        "5w",
        "",
        "0001-01-01T00:00+14:00",
        "9999-12-31T23:59-14:00",
    ],
)
def test_a_moment_that_is_none_is_refused_with_an_example(env: dict[str, str], moment: str) -> None:
    process = run(env, "list", "--before", moment)
    assert process.returncode == 2
    assert "write one in UTC as 2026-11-20" in process.stderr


def test_check_names_dead_jobs_and_those_of_another_release(env: dict[str, str]) -> None:
    assert "qb.W003" not in invoke("check", env=env).stderr
    put(env, "jobs.delete_finished", "dead")
    put(env, "nobody.knows")
    said = invoke("check", env=env).stderr
    assert "qb.W003: Dead jobs named jobs.delete_finished: 1." in said
    assert "qb.W004: Jobs named nobody.knows, which this release does not know: 1." in said
