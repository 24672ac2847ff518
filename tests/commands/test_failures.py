"""How commands fail: without a traceback, in one clear line that says what to do."""

import os
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from app.environment import PROJECT_ROOT
from tests.commands.conftest import one_line, rows
from tests.processes import free_port, invoke, manage, production


@pytest.mark.parametrize("name", ["production", "heroku", "unix"])
def test_recreate_db_refuses_under_every_production_configuration(
    database: Path, name: str
) -> None:
    env = production(f"sqlite:///{database}")
    assert invoke("-c", name, "db", "upgrade", env=env).returncode == 0
    assert f"refused under the configuration '{name}'" in one_line(
        invoke("-c", name, "recreate-db", env=env)
    )
    assert rows(database, "SELECT count(*) FROM users") == [(0,)]


@pytest.mark.parametrize("command", ["recreate-db", "add-fake-data"])
def test_another_configurations_name_does_not_get_past_the_refusal(
    database: Path, command: str
) -> None:
    env = production(f"sqlite:///{database}", ADMIN_PASSWORD="seven purple herons")
    assert invoke("setup-prod", env=env).returncode == 0
    assert "refused under the configuration 'production'" in one_line(
        invoke("-c", "development", command, env=env)
    )
    assert rows(database, "SELECT count(*) FROM users") == [(1,)]


def test_add_fake_data_refuses_in_production(database: Path) -> None:
    env = production(f"sqlite:///{database}")
    assert "refused" in one_line(invoke("add-fake-data", env=env))


def test_a_database_without_roles_is_not_ready(env: dict[str, str]) -> None:
    invoke("recreate-db", env=env)
    process = invoke("check", env=env)
    assert process.returncode == 1
    assert "has no roles yet: nobody can log in." in process.stderr
    process = manage("run-worker", "--burst", env=env)
    assert process.returncode == 0, "it is named, and keeps nothing from starting"


def test_drift_is_named_with_what_to_do(env: dict[str, str], database: Path) -> None:
    invoke("setup-dev", env=env)
    with sqlite3.connect(database) as connection:
        connection.execute("ALTER TABLE users ADD COLUMN surprise VARCHAR(9)")
    connection.close()
    line = one_line(invoke("db", "check", env=env))
    assert "remove_column users" in line
    assert "db migrate" in line


def test_a_command_on_an_empty_database_says_what_to_run(env: dict[str, str]) -> None:
    assert "Run: python manage.py setup-dev" in one_line(invoke("add-fake-data", env=env))


def test_a_database_in_a_folder_that_is_not_there_is_named(
    env: dict[str, str], tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path / 'nowhere' / 'test.sqlite3'}"
    assert "does not exist: make it" in one_line(
        invoke("db", "upgrade", env=env | {"TEST_DATABASE_URL": url})
    )


def test_check_passes_when_all_is_well_and_names_what_is_not(
    env: dict[str, str], tmp_path: Path
) -> None:
    process = invoke("check", env=env)
    assert process.returncode == 1
    assert "qb.E002" in process.stderr
    assert "setup-dev" in process.stderr
    invoke("setup-dev", env=env)
    process = invoke("check", env=env | {"REDIS_URL": f"unix://{tmp_path / 'nobody'}"})
    assert process.returncode == 1
    assert "qb.E004: Redis at unix://" in process.stderr
    assert "Traceback" not in process.stderr


@pytest.mark.faults
@pytest.mark.waits
def test_a_failure_of_a_process_is_one_clear_line_as_well(env: dict[str, str]) -> None:
    assert "Choose one of: development" in one_line(manage("-c", "prod", "check", env=env))


@pytest.mark.parametrize(
    ("arguments", "more", "words"),
    [
        (
            ["-c", "prod", "check"],
            {},
            "There is no configuration named 'prod'. Choose one of: development",
        ),
        (["routes"], {"QUART_CONFIG": "nonsense"}, "There is no configuration named 'nonsense'"),
        (
            ["db", "upgrade"],
            {"TEST_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/test"},
            "The database",
        ),
        (
            ["setup-dev"],
            {"TEST_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/test"},
            "The database",
        ),
        (
            ["jobs", "list"],
            {"TEST_DATABASE_URL": "postgresql://nobody@/test?host=/nowhere"},
            "The database cannot be used: [Errno 2] No such file or directory. Is it running",
        ),
        (["db", "downgrade", "nothing"], {}, "There is no migration 'nothing'. See: python"),
        (["db", "upgrade", "nothing"], {}, "There is no migration 'nothing'. See: python"),
        (["db", "stamp", "nothing"], {}, "There is no migration 'nothing'. See: python"),
        (["db", "show", "nothing"], {}, "There is no migration 'nothing'. See: python"),
        (
            ["run-worker", "--burst"],
            {"REDIS_URL": "redis://127.0.0.1:1"},
            "Redis at redis://127.0.0.1:1 cannot be used",
        ),
        (["run-worker", "--burst"], {}, "has no tables yet"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_failure_is_one_clear_line(
    env: dict[str, str], arguments: list[str], more: dict[str, str], words: str
) -> None:
    assert words in one_line(invoke(*arguments, env=env | more))


def test_a_wrong_setting_is_named_and_nothing_is_done(database: Path) -> None:
    env = production(f"sqlite:///{database}", MAIL_PORT="many", SECRET_KEY="short")
    process = manage("setup-prod", env=env)
    assert process.returncode != 0
    assert "MAIL_PORT: got 'many'" in process.stderr
    assert "SECRET_KEY: got a value of 5 characters" in process.stderr
    assert "Traceback" not in process.stderr
    assert not database.exists()


def test_serving_production_on_a_port_in_use_is_one_line(database: Path) -> None:
    env = production(f"sqlite:///{database}", ADMIN_PASSWORD="seven purple herons")
    assert invoke("setup-prod", env=env).returncode == 0
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        started = time.monotonic()
        line = one_line(manage("serve", "--port", str(port), env=env))
    assert f"{port}" in line
    assert "in use" in line
    assert time.monotonic() - started < 5


def test_serve_refuses_a_pending_migration(database: Path) -> None:
    env = production(f"sqlite:///{database}", ADMIN_PASSWORD="seven purple herons")
    invoke("setup-prod", env=env)
    with sqlite3.connect(database) as connection:
        connection.execute("DELETE FROM alembic_version")
    connection.close()
    assert "db upgrade" in one_line(manage("serve", "--port", str(free_port()), env=env))


@pytest.mark.parametrize("message", ["", "  "])
def test_a_migration_without_a_title_is_refused(env: dict[str, str], message: str) -> None:
    process = invoke("db", "migrate", "-m", message, env=env)
    assert process.returncode == 2
    assert "say it in a few words" in process.stderr


@pytest.mark.faults
@pytest.mark.waits
def test_a_password_that_nobody_can_type_is_no_ctrl_c(env: dict[str, str]) -> None:
    command = [sys.executable, str(PROJECT_ROOT / "manage.py"), "create-admin", "a@example.com"]
    process = subprocess.run(
        command,
        env=env,
        cwd=os.environ["TEST_FOLDER"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        start_new_session=True,  # without a terminal
        check=False,
    )
    assert process.returncode == 1
    assert "Error: It asks a question, and there is no more input" in process.stderr
    assert "--password-stdin" in process.stderr
