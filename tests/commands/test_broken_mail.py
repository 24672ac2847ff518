"""`check` on an installation that cannot mail names the fix; every start says what runs."""

import subprocess
import sys
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller

from app.environment import PROJECT_ROOT
from tests.processes import free_port, invoke, manage, production


class Picky:
    """An SMTP server's handler that takes mail of its own domain only."""

    async def handle_MAIL(  # noqa: N802
        self, server: object, session: object, envelope: object, address: str, options: object
    ) -> str:
        if address.endswith("@ours.example.org"):
            envelope.mail_from = address  # type: ignore[attr-defined]
            return "250 OK"
        return "553 5.7.1 sender not allowed"


@pytest.fixture
def installed(database: Path, tmp_path: Path) -> dict[str, str]:
    """Set production up, with mail to a server on this machine that does not run."""
    env = production(
        f"sqlite:///{database}",
        ADMIN_EMAIL="boss@ours.example.org",
        ADMIN_PASSWORD="seven purple herons",
        INSTANCE_PATH=str(tmp_path / "instance"),
    )
    assert invoke("setup-prod", env=env).returncode == 0
    return env | {
        "MAIL_SERVER": "127.0.0.1",
        "MAIL_PORT": str(free_port()),
        "MAIL_USE_TLS": "false",
        "MAIL_DEFAULT_SENDER": "Acme, Inc. <post@ours.example.org>",
    }


@pytest.mark.faults
@pytest.mark.waits
def test_a_wrong_mail_server_is_named_with_the_fix(installed: dict[str, str]) -> None:
    process = manage("check", env=installed)
    assert process.returncode == 1
    [found] = [line for line in process.stderr.splitlines() if line.startswith("qb.E010")]
    assert f"127.0.0.1:{installed['MAIL_PORT']} cannot be used" in found
    assert "Correct MAIL_SERVER and MAIL_PORT (usually 587" in process.stderr
    assert "Traceback" not in process.stderr
    assert process.stdout.startswith(
        "Configuration production, chosen by QUART_CONFIG in the environment; "
    )


@pytest.mark.faults
@pytest.mark.waits
def test_a_wrong_sender_is_named_with_the_fix(installed: dict[str, str]) -> None:
    controller = Controller(Picky(), hostname="127.0.0.1", port=int(installed["MAIL_PORT"]))
    controller.start()
    try:
        right = manage("check", env=installed)
        wrong = manage("check", env=installed | {"MAIL_DEFAULT_SENDER": "post@theirs.org"})
    finally:
        controller.stop()
    assert "qb.E010" not in right.stderr
    assert "553 5.7.1 sender not allowed" in wrong.stderr
    assert "Correct MAIL_DEFAULT_SENDER" in wrong.stderr


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"MAIL_DEFAULT_SENDER": "Acme"}, "it has no address; write Name <post@example.org>"),
        ({"MAIL_DEFAULT_SENDER": ""}, "MAIL_DEFAULT_SENDER: is not set, needed with MAIL_SERVER"),
        ({"MAIL_SERVER": "smtp.example.org:587"}, "it has a port; write the host alone"),
        ({"MAIL_USERNAME": "us"}, "MAIL_PASSWORD: is not set, needed with MAIL_USERNAME"),
        ({"BASE_URL": "https://example.org/app"}, "cannot be served below a path"),
        ({"LOGIN_LIMIT_ADDRESS": "0/minute"}, "LOGIN_LIMIT_ADDRESS: got '0/minute'"),
    ],
)
def test_what_cannot_work_is_refused_by_every_command(
    installed: dict[str, str], changed: dict[str, str], words: str
) -> None:
    for command in (("check",), ("routes",), ("setup-prod",)):
        process = invoke(*command, env=installed | changed)
        assert process.returncode == 1
        assert words in process.stderr
        assert "Expected: " in process.stderr


def test_production_has_no_administrator_of_development(database: Path) -> None:
    env = production(f"sqlite:///{database}", ADMIN_EMAIL="")
    stderr = invoke("setup-prod", env=env).stderr
    assert "ADMIN_EMAIL and ADMIN_PASSWORD are not set" in stderr
    assert not database.exists()


def test_routes_show_every_part_of_a_limit(installed: dict[str, str]) -> None:
    process = invoke("routes", env=installed | {"PAGE_LIMIT": "600/minute;9000/hour"})
    assert "600/minute;9000/hour" in process.stdout
    assert process.stdout.startswith("/"), "nothing but the table"


@pytest.mark.faults
@pytest.mark.waits
@pytest.mark.parametrize(
    "command",
    [
        ("-c", "import app.asgi"),
        ("manage.py", "run-worker", "--burst"),
        ("-m", "development.serving", "prepare", "production"),
    ],
    ids=["web", "worker", "serve"],
)
def test_a_start_says_which_configuration_runs(
    installed: dict[str, str], command: tuple[str, ...]
) -> None:
    with subprocess.Popen(
        [sys.executable, *command],
        env=installed | {"MAIL_SEVER": "canary"},
        cwd=PROJECT_ROOT,
        stdin=subprocess.PIPE,  # kept open: `serve` ends its processes by closing it
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        said = process.stdout.read()
        assert process.wait(60) == 0, said
    assert said.count("Configuration production, chosen by QUART_CONFIG in the environment") == 1
    assert "MAIL_SEVER is no setting; MAIL_SERVER is one" in said
    assert "canary" not in said


@pytest.mark.faults
@pytest.mark.waits
def test_a_dotenv_that_is_broken_while_serving_is_named_in_one_line(
    installed: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("QUART_CONFIG: production\n")
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "development.serving", "web", "0"],
        env=installed | {"PYTHONPATH": str(PROJECT_ROOT)},
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        said = process.stdout.read()
    assert said == (
        f"Error: {tmp_path / '.env'}, line 1: not an assignment. Write NAME=value, with a quote at "
        "both ends of the value or at neither, and # before a comment.\n"
    )
