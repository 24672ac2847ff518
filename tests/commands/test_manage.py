"""The command line: what it does, and how it fails."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import manage as commands
from app.environment import PROJECT_ROOT
from app.migrations import Recreated
from tests.clones import TABLES, Clone
from tests.commands.conftest import one_line, rows
from tests.processes import invoke, manage, production, variables


def test_setup_dev_can_be_run_again_and_again(env: dict[str, str], database: Path) -> None:
    for _ in range(2):
        process = invoke("setup-dev", env=env)
        assert process.returncode == 0, process.stderr
    assert rows(
        database, 'SELECT name, permissions, "index", "default" FROM roles ORDER BY id'
    ) == [
        ("User", 1, "main", 1),
        ("Administrator", 255, "admin", 0),
    ]
    assert rows(database, "SELECT email, confirmed FROM users") == [("admin@example.com", 1)]


def test_recreate_db_says_what_is_gone_and_leaves_what_upgrade_and_check_accept(
    env: dict[str, str], database: Path
) -> None:
    invoke("setup-dev", env=env)
    process = invoke("recreate_db", env=env)
    assert ", ".join(TABLES) in process.stdout
    assert rows(database, "SELECT * FROM users") == []
    for step in (("db", "upgrade"), ("db", "check"), ("db", "current")):
        process = invoke(*step, env=env)
        assert process.returncode == 0, process.stderr
    assert "(head)" in process.stdout


def test_add_fake_data_adds_users_and_no_administrators(
    env: dict[str, str], database: Path
) -> None:
    invoke("setup-dev", env=env)
    assert invoke("add-fake-data", "-n", "7", env=env).returncode == 0
    assert invoke("add-fake-data", "--number-users", "3", env=env).returncode == 0
    found = rows(
        database,
        "SELECT roles.name, count(*) FROM users JOIN roles ON roles.id = role_id GROUP BY 1 "
        "ORDER BY 1",
    )
    assert found == [("Administrator", 1), ("User", 10)]


def test_setup_prod_makes_an_administrator_with_a_password_of_its_own(database: Path) -> None:
    env = production(
        f"sqlite:///{database}",
        ADMIN_EMAIL="Boss@example.org",
        ADMIN_PASSWORD="seven purple herons",
    )
    for _ in range(2):
        process = invoke("setup-prod", env=env)
        assert process.returncode == 0, process.stderr
    assert rows(database, "SELECT email FROM users") == [("boss@example.org",)]


@pytest.mark.parametrize(
    ("password", "words"),
    [
        ("", "ADMIN_PASSWORD is not set"),
        ("password", "default"),
        ("short", "12 to 128"),
        ("passwordpassword", "easy to guess"),
    ],
)
def test_setup_prod_refuses_a_password_that_others_know(
    database: Path, password: str, words: str
) -> None:
    env = production(f"sqlite:///{database}", ADMIN_PASSWORD=password)
    assert words in one_line(invoke("setup-prod", env=env))
    assert not database.exists(), "nothing half done"


def test_create_admin_creates_and_promotes(env: dict[str, str], database: Path) -> None:
    invoke("setup-dev", env=env)
    invoke("add-fake-data", "-n", "1", env=env)
    [(somebody,)] = rows(database, "SELECT email FROM users WHERE email != 'admin@example.com'")
    for email, words in (("new@example.com", "a new"), (str(somebody), "now an")):
        process = invoke(
            "create-admin", email, "--password-stdin", env=env, stdin="seven purple herons\n"
        )
        assert (process.returncode, words in process.stdout) == (0, True), process.stderr
    found = rows(
        database,
        "SELECT count(*) FROM users JOIN roles ON roles.id = role_id WHERE permissions = 255",
    )
    assert found == [(3,)]


def test_create_admin_refuses_a_weak_password(env: dict[str, str]) -> None:
    invoke("setup-dev", env=env)
    process = invoke(
        "create-admin", "new@example.com", "--password-stdin", env=env, stdin="new@example.com\n"
    )
    assert "easy to guess" in one_line(process)


def test_a_user_is_disabled_and_enabled(env: dict[str, str], database: Path) -> None:
    invoke("setup-dev", env=env)
    disabled = "SELECT count(*) FROM users WHERE disabled_at IS NOT NULL"
    for command, number in (("disable-user", 1), ("disable-user", 1), ("enable-user", 0)):
        process = invoke(command, "Admin@Example.com", env=env)
        assert (process.returncode, "Admin@Example.com" in process.stdout) == (0, True)
        assert rows(database, disabled) == [(number,)]
    for command in ("disable-user", "enable-user"):
        for email in ("nobody@example.com", "nobody"):
            assert "No account has the address" in one_line(invoke(command, email, env=env))


def test_setup_prod_needs_no_password_once_there_is_an_administrator(database: Path) -> None:
    env = production(f"sqlite:///{database}", ADMIN_PASSWORD="seven purple herons")
    assert invoke("setup-prod", env=env).returncode == 0
    del env["ADMIN_PASSWORD"]
    assert invoke("setup-prod", env=env).returncode == 0


@pytest.mark.parametrize("email", ["boss", "boss@", "two words@example.com"])
def test_nobody_administers_under_an_address_that_is_none(
    env: dict[str, str], database: Path, email: str
) -> None:
    invoke("setup-dev", env=env)
    process = invoke(
        "create-admin", email, "--password-stdin", env=env, stdin="seven purple herons\n"
    )
    assert "not an email address" in one_line(process)
    assert rows(database, "SELECT count(*) FROM users") == [(1,)]
    assert (
        "ADMIN_EMAIL"
        in invoke("setup-prod", env=production(f"sqlite:///{database}", ADMIN_EMAIL=email)).stderr
    )


def test_migrate_writes_nothing_when_nothing_has_changed(env: dict[str, str]) -> None:
    invoke("setup-dev", env=env)
    before = sorted((PROJECT_ROOT / "alembic" / "versions").iterdir())
    assert "no migration is written" in one_line(invoke("db", "migrate", "-m", "Nothing", env=env))
    assert sorted((PROJECT_ROOT / "alembic" / "versions").iterdir()) == before


@pytest.mark.faults
@pytest.mark.waits
def test_upgrade_says_what_it_applies(env: dict[str, str]) -> None:
    assert "Running upgrade" in manage("db", "upgrade", env=env).stderr


def test_the_shell_awaits_a_script_from_stdin(env: dict[str, str]) -> None:
    invoke("setup-dev", env=env)
    script = (
        "session.add(User(email='me@example.com', first_name='Me', last_name='Too'))\n"
        "await session.commit()\n"
        "me = await session.scalar(select(User.id).where(User.email == 'me@example.com'))\n"
        "print(me, app.config['CONFIG_NAME'], db)\n"
    )
    process = invoke("shell", env=env, stdin=script)
    assert process.stdout.startswith("2 testing "), process.stderr


@pytest.mark.faults
@pytest.mark.waits
@pytest.mark.parametrize("clone", ["sqlite"], indirect=True)
async def test_flask_bases_own_example_runs_in_the_shell_of_a_fresh_clone(clone: Clone) -> None:
    script = (
        "me = User(first_name='A', last_name='B', email='a@example.org')\n"
        "session.add(me)\n"
        "await session.commit()\n"
        "print(me.id)\n"
    )
    clone.does("db", "upgrade")
    failed = clone.run("shell", stdin=script)
    assert "There is no default role. Run: python manage.py setup-dev" in failed.stderr
    clone.does("setup-dev")
    number = int(clone.does("shell", stdin=script))
    query = f"SELECT name FROM roles JOIN users ON roles.id = role_id WHERE users.id = {number}"
    assert await clone.query(query) == [("User",)]


def test_a_script_that_fails_in_the_shell_fails(env: dict[str, str]) -> None:
    process = manage("shell", env=env, stdin="x = 1\nawait nothing_like_this()")
    assert process.returncode == 1
    assert process.stderr.splitlines()[:2] == [
        "Traceback (most recent call last):",
        '  File "<stdin>", line 2, in <module>',
    ]
    assert "click" not in process.stderr


@pytest.mark.faults
@pytest.mark.waits
def test_the_shells_prompt_awaits_and_survives_mistakes(env: dict[str, str]) -> None:
    pexpect = pytest.importorskip(
        "pexpect", reason="a prompt needs a terminal to be tested with: pip install pexpect"
    )
    invoke("setup-dev", env=env)
    command = [str(PROJECT_ROOT / "manage.py"), "shell"]
    child = pexpect.spawn(
        sys.executable,
        command,
        env=env,
        cwd=os.environ["TEST_FOLDER"],
        encoding="utf-8",
        timeout=20,
    )
    child.expect(">>> ")
    for line, answer in (
        ("await session.scalar(select(User.email))", "'admin@example.com'"),
        ("1/0", "ZeroDivisionError"),
        ("await nobody", "NameError"),
        ("x = await session.scalar(select(Role.name).where(Role.default)); x", "'User'"),
        ("x", "'User'"),
    ):
        child.sendline(line)
        child.expect(answer)
        child.expect(">>> ")
    child.sendeof()
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0


def test_routes_lists_each_route_with_access_and_limit(env: dict[str, str]) -> None:
    lines = invoke("routes", env=env).stdout.splitlines()
    [admin] = [line for line in lines if line.startswith("/admin ")]
    assert admin.split("  ")[0] == "/admin"
    assert "permission ADMINISTER" in admin
    assert "1200/minute" in admin


@pytest.mark.faults
@pytest.mark.waits
def test_tests_exit_status_is_passed_on(tmp_path: Path) -> None:
    failing = tmp_path / "test_failing.py"
    failing.write_text("def test_fails(): assert False")
    env = variables() | {"TEST_FOLDER": os.environ["TEST_FOLDER"]}
    arguments = (
        "test",
        "-n",
        "0",
        "--noconftest",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(tmp_path),
        str(failing),
    )
    assert manage(*arguments, env=env).returncode == 1
    failing.write_text("def test_passes(): assert True")
    assert manage(*arguments, env=env).returncode == 0


@pytest.mark.faults
@pytest.mark.waits
def test_the_suite_refuses_a_database_that_is_not_for_tests() -> None:
    env = variables(TEST_DATABASE_URL="postgresql://localhost/production")
    process = manage("test", "-n", "0", "tests/test_config.py", env=env)
    assert process.returncode == 4
    assert "The tests delete everything" in process.stdout + process.stderr


def test_help_is_quick() -> None:
    """Under 0.4 s of CPU.

    Measured as the child's own user and system time, which a busy machine does not change.
    """
    before = os.times()
    process = manage("--help", env=variables())
    after = os.times()
    assert "recreate-db" in process.stdout
    assert (after.children_user - before.children_user) + (
        after.children_system - before.children_system
    ) < 0.4


async def test_the_plain_functions_do_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = tmp_path / "test.sqlite3"
    monkeypatch.setenv("TEST_DATABASE_URL", f"sqlite:///{database}")
    await commands.setup_dev(config_name="testing")
    assert await commands.add_fake_data(number_users=3, config_name="testing") == 3
    assert rows(database, "SELECT count(*) FROM users") == [(4,)]
    assert await commands.recreate_db(config_name="testing") == Recreated(TABLES, TABLES)
    assert rows(database, "SELECT count(*) FROM users") == [(0,)]
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{database}")
    for name, value in {
        "SECRET_KEY": "k" * 32,
        "BASE_URL": "https://a.example",
        "ADMIN_EMAIL": "boss@example.org",
        "ADMIN_PASSWORD": "seven purple herons",
    }.items():
        monkeypatch.setenv(name, value)
    await commands.setup_prod(config_name="production")
    assert rows(database, "SELECT count(*) FROM users") == [(1,)]


@pytest.mark.faults
@pytest.mark.waits
def test_run_worker_is_a_plain_function_too(env: dict[str, str]) -> None:
    invoke("setup-dev", env=env)
    script = "from manage import run_worker; run_worker(config_name='testing', burst=True)"
    process = subprocess.run(
        [sys.executable, "-c", script], env=env, cwd=PROJECT_ROOT, check=False, capture_output=True
    )
    assert process.returncode == 0, process.stderr
