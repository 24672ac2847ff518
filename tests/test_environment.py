"""The environment: which `.env` is read, what its lines must be, and what chose a configuration."""

import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from app import environment
from app.config import Config, load_settings
from app.environment import PROJECT_ROOT, chosen_by, chosen_config, load_environment, tidied
from app.errors import ConfigurationError
from app.health.announcement import announce, summary, warnings
from tests.processes import variables


@pytest.fixture
def project(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """Return a project's folder without `.env`; the working directory is another one."""
    before = os.environ.copy()
    for name in (*Config.model_fields, *environment.CHOICES, "PORT", environment.CHOSEN_BY):
        os.environ.pop(name, None)
    folder, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    monkeypatch.setattr(environment, "FILES", (".env", "config.env"))
    monkeypatch.setattr(environment, "PROJECT_ROOT", folder)
    monkeypatch.setattr(environment, "_loaded", {})
    yield folder
    os.environ.clear()
    os.environ.update(before)


def test_the_file_beside_manage_py_is_read_from_anywhere(project: Path) -> None:
    (project / "config.env").write_text("QUART_CONFIG=testing\n")
    load_environment()
    assert chosen_config() == "testing"
    assert chosen_by("testing") == f"chosen by QUART_CONFIG in {project / 'config.env'}"


def test_the_working_directorys_file_comes_first_and_alone(project: Path) -> None:
    (project / ".env").write_text("QUART_CONFIG=testing\nAPP_NAME=Not this\n")
    Path(".env").write_text("QUART_CONFIG=development\n")
    load_environment()
    assert (chosen_config(), os.environ.get("APP_NAME")) == ("development", None)
    assert chosen_by("development") == f"chosen by QUART_CONFIG in {Path.cwd() / '.env'}"


def test_the_environment_wins_and_is_named(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / ".env").write_text("FLASK_CONFIG=testing\n")
    monkeypatch.setenv("FLASK_CONFIG", "unix")
    load_environment()
    assert chosen_by("unix") == "chosen by FLASK_CONFIG in the environment"
    assert chosen_by("testing") == "chosen by -c or by the code that called"


def test_a_default_is_named_as_one(project: Path) -> None:
    load_environment()
    assert chosen_by(chosen_config()).startswith("the default, since neither QUART_CONFIG nor")


MISTAKES = [
    "QUART_CONFIG: production",
    "QUART_CONFIG:production",
    "QUART_CONFIG production",
    "QUART_CONFIG",
    "export QUART_CONFIG",
    "set QUART_CONFIG=production",
    "$QUART_CONFIG=production",
    "QUART-CONFIG ='canary",
    "SECRET_KEY='canary",
    'SECRET_KEY="canary" canary',
    "SECRET_KEY='it's canary'",
    'SECRET_KEY="canary\nQUART_CONFIG=production\nAPP_NAME="x',
    'SECRET_KEY="canary\nQUART_CONFIG=production\nAPP_NAME=The "',
    "SECRET_KEY=can\0ary",
    "=canary",
    "- QUART_CONFIG=production",
    '{"SECRET_KEY": "canary"}',
]


@pytest.mark.parametrize("line", MISTAKES)
def test_a_line_that_is_no_assignment_stops_the_start_and_is_not_shown(
    project: Path, line: str
) -> None:
    (project / ".env").write_text(f"# the settings\n\nAPP_NAME=Fine\n\n{line}\nMAIL_PORT=25\n")
    with pytest.raises(ConfigurationError) as raised:
        load_environment()
    assert f"{project / '.env'}, line 5: not an assignment" in raised.value.message
    assert "canary" not in raised.value.message
    assert "APP_NAME" not in os.environ, "nothing is loaded by halves"


def test_all_wrong_lines_are_named_at_once(project: Path) -> None:
    (project / ".env").write_text("A: 1\nB=2\nC\n")
    with pytest.raises(ConfigurationError, match="lines 1, 3: not an assignment"):
        load_environment()


def test_what_dotenv_can_read_is_read(project: Path) -> None:
    key = "-----BEGIN KEY-----\nQUJD\nQUI=\nQQ==\n-----END KEY-----"
    names = ("QB_ONE", "QB_TWO", "QB_KEY", "QB_CRLF", "QB_EMPTY")
    (project / ".env").write_bytes(
        f"\ufeffexport QB_ONE=1\r\n QB_TWO = 'a b' # note\r\nQB_KEY=\"{key}\"\r\n#QB: x\r\n"
        "QB_CRLF=x\r\nQB_EMPTY=\r\n".encode()
    )
    load_environment()
    assert [os.environ.get(name) for name in names] == ["1", "a b", key, "x", None]


def test_a_file_that_cannot_be_read_is_named(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / ".env").touch()

    def refuse(path: Path, *_: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(ConfigurationError, match=r"\.env cannot be read: Permission denied"):
        load_environment()


def test_a_folder_of_that_name_is_no_file(project: Path) -> None:
    (project / ".env").mkdir()
    load_environment()
    assert environment.environment_files() == []


@pytest.mark.parametrize("value", [" testing ", "testing\n", "\ttesting"])
def test_blanks_around_the_configurations_name_are_none_of_it(
    project: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("QUART_CONFIG", value)
    assert load_settings().NAME == "testing"


@pytest.mark.parametrize("value", ['"production"', "'production'", "   ", "\n", "pro\x07duction"])
def test_a_configuration_that_cannot_be_meant_never_becomes_development(
    project: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("QUART_CONFIG", value)
    with pytest.raises(ConfigurationError, match="QUART_CONFIG: got"):
        load_settings()


@pytest.mark.parametrize("value", ["abc", "8000x", "-1", "65536", "1e3", "tcp://10.0.0.1:80", "  "])
def test_a_port_that_is_none_is_named(
    project: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("PORT", value)
    with pytest.raises(ConfigurationError, match="PORT: got"):
        load_settings("development")


def test_a_port_is_in_developments_url(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "8123\n")
    assert load_settings("development").BASE_URL == "http://localhost:8123"


def test_relative_paths_begin_at_the_file_that_they_stand_in(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / ".env").write_text("INSTANCE_PATH=data\nDATABASE_URL=sqlite:///dev.sqlite3\n")
    load_environment()
    settings = load_settings("development")
    assert project / "data" == settings.INSTANCE_PATH
    assert f"sqlite+aiosqlite:///{project / 'dev.sqlite3'}" == settings.DATABASE_URL
    monkeypatch.setenv("INSTANCE_PATH", "data")
    monkeypatch.setattr(environment, "_loaded", {})
    assert Path.cwd() / "data" == load_settings("development").INSTANCE_PATH


def test_a_home_folder_is_meant_by_a_tilde(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(project))
    monkeypatch.setenv("INSTANCE_PATH", "~/data")
    assert project / "data" == load_settings("development").INSTANCE_PATH
    assert [path.name for path in project.iterdir()] == ["data"]
    monkeypatch.setenv("INSTANCE_PATH", "~no-such-user-here/data")
    with pytest.raises(ConfigurationError, match="no user"):
        load_settings("development")


def test_a_secret_loses_its_last_newline_and_nothing_else() -> None:
    assert tidied(" pass word \r\n", secret=True) == " pass word "
    assert tidied(" some words \r\n") == "some words"


def test_every_start_says_the_configuration_and_what_chose_it(
    project: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / ".env").write_text(
        "QUART_CONFIG=production\nDATABASE_URL=postgres://app:canary@db.example/app\n"
        "REDIS_URL=redis://:canary@cache.example\nBASE_URL=https://app.example.com\n"
        f"SECRET_KEY={'canary' * 8}\nMAIL_SEVER=smtp.example.org\n"
    )
    monkeypatch.setenv("FLASK_CONFIG", "development")
    load_environment()
    caplog.set_level("INFO")
    announce(load_settings())
    line, *rest = [record.getMessage() for record in caplog.records]
    file = project / ".env"
    assert line.startswith(f"Configuration production, chosen by QUART_CONFIG in {file}; ")
    assert f"settings from {file}" in line
    assert "BASE_URL https://app.example.com" in line
    assert "database postgresql+asyncpg://app:***@db.example/app" in line
    assert [record.levelno for record in caplog.records[1:]] == [logging.WARNING] * 2
    assert "FLASK_CONFIG=development has no effect" in rest[0]
    assert f"MAIL_SEVER in {file} is no setting; MAIL_SERVER is one" in rest[1]
    assert "canary" not in caplog.text


def test_under_serve_only_serve_says_it(
    project: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(environment.CHOSEN_BY, "chosen by -c")
    caplog.set_level("INFO")
    announce(load_settings("testing"))
    assert caplog.text == ""
    assert summary(load_settings("testing")).startswith("Configuration testing, chosen by -c; ")


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("SECRETKEY", "SECRET_KEY"),
        ("DATABSE_URL", "DATABASE_URL"),
        ("MAIL_SEVER", "MAIL_SERVER"),
        ("secret_key", "SECRET_KEY"),
        ("MAIL-PORT", "MAIL_PORT"),
        ("QUART_CONFG", "QUART_CONFIG"),
        ("MAIL_USER", "MAIL_USERNAME"),
        ("CORS_ORIGIN", "CORS_ORIGINS"),
    ],
)
def test_a_name_that_is_probably_misspelt_is_named(project: Path, wrong: str, right: str) -> None:
    (project / ".env").write_text(f"{wrong}=canary\n")
    [said] = warnings()
    assert f"{wrong} in {project / '.env'} is no setting; {right} is one" in said
    assert "canary" not in said


def test_names_of_others_are_left_alone(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("SENTRY_DSN", "AWS_REGION", "STRIPE_KEY", "COMPOSE_PROJECT_NAME", "POSTGRES_PASSWORD")
    (project / ".env").write_text("".join(f"{name}=x\n" for name in names))
    for name in ("REDIS_PORT", "REDIS_SERVICE_HOST", "PGDATABASE", "SESSION_MANAGER", "MAIL"):
        monkeypatch.setenv(name, "x")
    assert warnings() == []
    monkeypatch.setenv("MAIL_SEVER", "x")
    assert "MAIL_SEVER is no setting" in warnings()[0]


def test_a_line_that_a_later_one_replaces_is_named(project: Path) -> None:
    (project / ".env").write_text("MAIL_PORT=25\nMAIL_PORT=587\nAPP_NAME=a\nAPP_NAME=a\n")
    [said] = warnings()
    assert "sets MAIL_PORT more than once" in said


@pytest.mark.faults
@pytest.mark.waits
def test_from_another_working_directory_no_second_database_is_made(tmp_path: Path) -> None:
    """As one meets it: manage.py, with a `.env` beside it, started from elsewhere."""
    project, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    left_out = shutil.ignore_patterns("static", "templates", "__pycache__")
    for name in ("app", "alembic"):
        shutil.copytree(PROJECT_ROOT / name, project / name, ignore=left_out)
    for name in ("manage.py", "alembic.ini"):
        shutil.copy(PROJECT_ROOT / name, project)
    elsewhere.mkdir()
    (project / ".env").write_text("QUART_CONFIG=development\nDATABASE_URL=sqlite:///mine.sqlite3\n")

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, project / "manage.py", "db", "upgrade"],
            cwd=elsewhere,
            env=variables() | {"INSTANCE_PATH": str(tmp_path / "instance")},
            capture_output=True,
            text=True,
            check=False,
        )

    process = run()
    assert process.returncode == 0, process.stderr
    assert (project / "mine.sqlite3").exists()
    assert list(elsewhere.iterdir()) == []
    (project / ".env").write_text("QUART_CONFIG: production\n")
    process = run()
    assert process.returncode == 1
    assert f"{project / '.env'}, line 1: not an assignment" in process.stderr
    assert "Traceback" not in process.stderr
