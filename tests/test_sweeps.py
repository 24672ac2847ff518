"""Conventions that hold for every table, route, setting, command, job and template."""

import ast
import importlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
from jinja2 import TemplateNotFound
from quart import Quart

import app.features  # noqa: F401  (every table)
import manage
from app import create_app
from app.database import Base
from app.environment import PROJECT_ROOT
from app.features import FEATURES
from app.jobs.queue import KINDS
from app.web.access import declared
from development import quality


def sources(folder: str = "app") -> list[Path]:
    return sorted((PROJECT_ROOT / folder).rglob("*.py"))


def module(path: Path) -> str:
    return ".".join(path.relative_to(PROJECT_ROOT).with_suffix("").parts)


def code() -> list[Path]:
    return [*sources(), *sources("development")]


def test_every_table_that_some_file_defines_is_known_to_the_metadata() -> None:
    defined = {
        name
        for path in sources()
        for name in re.findall(r'^    __tablename__ = "(\w+)"$', path.read_text(), re.MULTILINE)
    }
    assert defined
    assert defined == set(Base.metadata.tables)


def test_every_reference_to_a_user_says_what_happens_when_they_are_deleted() -> None:
    """Without an ON DELETE rule a person with such a row could not delete their account."""
    keys = [key for table in Base.metadata.tables.values() for key in table.foreign_keys]
    theirs = [key for key in keys if key.target_fullname == "users.id"]
    assert theirs
    assert [str(key.parent) for key in theirs if key.ondelete is None] == []


def test_every_feature_is_in_the_list() -> None:
    listed = {feature.__name__ for feature in FEATURES}
    assert listed == {module(path) for path in sources() if path.name == "feature.py"}


def test_the_list_of_features_makes_every_table_and_job_known() -> None:
    files = {module(path) for path in sources() if path.name in ("models.py", "jobs.py")}
    assert len(files) >= 4
    script = "import sys, app.features; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", script], cwd=PROJECT_ROOT, check=True, capture_output=True, text=True
    )
    assert files <= set(loaded.stdout.split())


async def test_every_route_declares_access_and_limit(app: Quart) -> None:
    rules = list(app.url_map.iter_rules())
    assert len(rules) > 10
    undeclared = [
        rule.rule for rule in rules if None in declared(app.view_functions[rule.endpoint])
    ]
    assert undeclared == []


def test_every_command_has_help_and_says_the_same_in_the_table() -> None:
    for name, (_, words) in manage.COMMANDS.items():
        command = manage.cli.get_command(click.Context(manage.cli), name)
        assert command is not None
        assert (command.help or "").startswith(words), name
        if isinstance(command, click.Group):
            assert all(subcommand.help for subcommand in command.commands.values())
        assert all(p.help for p in command.params if isinstance(p, click.Option)), name


def test_every_function_that_manage_promises_is_there() -> None:
    for name in manage.FUNCTIONS:
        assert callable(getattr(manage, name))
    with pytest.raises(ImportError):
        from manage import no_such_thing  # noqa: F401


def test_every_file_of_a_feature_has_a_known_role() -> None:
    roles = (
        "feature models schemas service emails jobs views admin api commands probes acts __init__"
    )
    # Services split by topic, one list for each feature that has some.
    topics = {
        "accounts": {
            "registration",
            "passwords",
            "email_change",
            "links",
            "names",
            "personal_data",
            "confirmation",
            "link_views",
            "log_in",
            "roles",
            "people",
            "people_schemas",
            "selections",
            "imports",
            "notices",
            "figures",
            "admin_api",
            "session_api",
            "session_schemas",
            "tokens",
            "token_schemas",
            "token_views",
            "token_api",
        },
        "content": {"difference", "rendering"},
        "jobs": {
            "queue",
            "arguments",
            "notifier",
            "context",
            "schedule",
            "workers",
            "command_line",
            "changing",
            "figures",
        },
        "mail": {"delivery", "mailbox", "message", "outbox", "smtp", "trial"},
    }
    features = {path.parent.name for path in sources() if path.name == "feature.py"}
    assert {"accounts", "jobs"} <= features
    for feature in features:
        names = {path.stem for path in (PROJECT_ROOT / "app" / feature).glob("*.py")}
        assert names - topics.get(feature, set()) <= {*roles.split(), "__init__"}, feature


def test_what_stands_below_the_features_does_not_name_them() -> None:
    # Mail registers itself as a feature does, and the features stand on it.
    features = {path.parent.name for path in sources() if path.name == "feature.py"} - {"mail"}
    names = re.compile(rf"[\"'](?:{'|'.join(features)})(?:_api)?\.[a-z_]+[\"']")
    below = [PROJECT_ROOT / "app" / name for name in ("auth", "web", "mail", "health", "templates")]
    files = [
        path for folder in below for path in folder.rglob("*") if path.suffix in (".py", ".html")
    ]
    files += (PROJECT_ROOT / "app").glob("*.py")
    assert len(files) > 40
    named = {str(path): names.findall(path.read_text()) for path in files}
    assert {path: found for path, found in named.items() if found} == {}


def test_no_file_has_a_name_without_meaning() -> None:
    banned = {
        "utils",
        "util",
        "helpers",
        "common",
        "core",
        "lib",
        "misc",
        "base",
        "manager",
        "managers",
        "extensions",
    }
    assert not [
        path for path in code() if banned & {part.removesuffix(".py") for part in path.parts[-2:]}
    ]


def test_only_the_front_door_and_the_lazy_commands_import_late() -> None:
    late = {
        str(path.relative_to(PROJECT_ROOT))
        for path in [*code(), PROJECT_ROOT / "manage.py", PROJECT_ROOT / "worker.py"]
        for function in ast.walk(ast.parse(path.read_text()))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    assert late == LATE


# The front door and the lazy commands by design, and `serve`, which must outlive a mistake in what
# it imports. Password checks import dictionaries of 13 MiB that most processes never need. The
# others import what an installation may lack: the embedded server, the watcher of files, readline.
LATE = {
    "app/auth/hashing.py",
    "app/interruptions.py",
    "app/__init__.py",
    "manage.py",
    "app/commands/shell.py",
    "app/worker.py",
    "development/serve.py",
    "development/serving.py",
    "development/supervisor.py",
    "development/embedded.py",
    "development/quality.py",
    "development/valkey.py",
}


async def test_every_template_renders_or_is_rendered_by_a_page(app: Quart) -> None:
    templates = app.jinja_env.list_templates(extensions=["html", "txt"])
    assert len(templates) > 5
    for name in templates:
        try:
            app.jinja_env.get_template(name)
        except TemplateNotFound as error:  # pragma: no cover
            pytest.fail(f"{name} needs {error}")
    written = [
        *sources(),
        *(PROJECT_ROOT / "app").rglob("*.html"),
        *(PROJECT_ROOT / "app").rglob("*.txt"),
    ]
    used = "".join(path.read_text() for path in written)
    # A mail names its two templates at once, without their endings.
    names = [name.rpartition(".")[0] if "/email/" in name else name for name in templates]
    assert [name for name in names if f'"{name}"' not in used] == []


def test_importing_the_app_does_no_work() -> None:
    """No connection, no file and no heavy module until an app is created."""
    script = (
        "import sys, app, app.environment; assert 'quart' not in sys.modules and 'sqlalchemy' "
        "not in sys.modules"
    )
    assert (
        subprocess.run([sys.executable, "-c", script], cwd=PROJECT_ROOT, check=False).returncode
        == 0
    )


def test_the_supervisor_imports_nothing_of_the_application_that_is_worked_on() -> None:
    """A syntax error in a module that it imports would end it."""
    script = (
        "import sys, development.supervisor\n"
        "names = {name for name in sys.modules if name.split('.')[0] == 'app'}\n"
        "assert names == {'app', 'app.environment', 'app.errors', 'app.environment'}, names"
    )
    assert (
        subprocess.run([sys.executable, "-c", script], cwd=PROJECT_ROOT, check=False).returncode
        == 0
    )


def test_help_imports_none_of_the_stack() -> None:
    script = (
        "import sys, manage\n"
        "try: manage.cli(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'quart', 'sqlalchemy', 'pydantic', 'arq', 'alembic', 'hypercorn'} & "
        "set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=PROJECT_ROOT, check=False, capture_output=True
    )
    assert result.returncode == 0, result.stderr


async def test_every_job_that_is_enqueued_or_scheduled_is_known(app: Quart) -> None:
    """A string that looks like a job's name, and is no endpoint, names a job; and every job is
    enqueued or scheduled somewhere.
    """
    features = "|".join(
        path.parent.name for path in sources() if path.name in ("jobs.py", "views.py")
    )
    literals = {
        (path.name, str(node.value))
        for path in sources()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant)
        and re.fullmatch(rf"({features})\.[a-z_]+", str(node.value))
    }
    ours = {name for name, kind in KINDS.items() if kind.function.__module__.startswith("app.")}
    endpoints = {rule.endpoint for rule in app.url_map.iter_rules()}
    assert {name for _, name in literals} - endpoints == ours
    assert {name for file, name in literals if file != "jobs.py"} >= ours


def test_lint_enforces_the_import_contract(tmp_path: Path) -> None:
    for package in ("app", "development"):
        shutil.copytree(PROJECT_ROOT / package, tmp_path / package)
    shutil.copy(PROJECT_ROOT / "pyproject.toml", tmp_path)
    assert imports_are_in_order(tmp_path)
    for place, wrong in (
        ("accounts/schemas", "app.accounts.views"),  # a role above
        ("web/pages", "app.accounts.service"),  # a feature above
        ("jobs/service", "app.jobs.engine.leases"),  # the engine
        ("accounts/service", "app.accounts.jobs"),  # a job that is enqueued by name
        ("auth/models", "development.quality"),  # a developer's machine
    ):
        path = tmp_path / "app" / f"{place}.py"
        before = path.read_text()
        path.write_text(f"{before}\nimport {wrong}\n")
        assert not imports_are_in_order(tmp_path), f"{place} imports {wrong}"
        path.write_text(before)


def imports_are_in_order(folder: Path) -> bool:
    return quality.run("importlinter", folder=folder) == 0


def test_constraints_are_plain_versions() -> None:
    for line in (PROJECT_ROOT / "constraints.txt").read_text().splitlines():
        assert re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9_.]+", line), line


def test_every_module_can_be_imported() -> None:
    for path in code():
        name = ".".join(path.relative_to(PROJECT_ROOT).with_suffix("").parts).removesuffix(
            ".__init__"
        )
        if name != "app.asgi":  # importing that one is starting the server
            importlib.import_module(name)


def test_creating_an_app_touches_neither_database_nor_redis(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TEST_DATABASE_URL", f"sqlite:///{tmp_path / 'untouched_test.sqlite3'}")
    monkeypatch.setenv("REDIS_URL", f"unix://{tmp_path / 'nobody'}")
    create_app("testing")
    assert list(tmp_path.iterdir()) == []
