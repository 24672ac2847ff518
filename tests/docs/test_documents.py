"""What the documents name is there: links, files, commands, settings, code."""

import ast
import re
import subprocess
from pathlib import Path

import click
import pytest

import manage
from app.config import Config
from app.environment import PROJECT_ROOT
from development.settings import OTHERS
from tests.docs import recipes
from tests.docs.documents import DOCUMENTS, LINK, anchors, blocks, codes, label, prose

README = (PROJECT_ROOT / "README.md").read_text()

# The first part of a path in this project.
TOP = {path.name for path in PROJECT_ROOT.iterdir()} - {".git", ".venv", "instance", "build"}
PATH = re.compile(r"\.?[\w-]+(/[\w.-]+)*/?")
COMMAND = re.compile(r"manage\.py (?:-c \w+ )?([a-z][a-z_-]*)(?: ([a-z]+))?")
VARIABLE = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)+")

# Variables that are no settings of the application.
OTHER_VARIABLES = {name for variables in OTHERS.values() for name in variables}
# Constants of the code.
CONSTANTS = {"KEPT_DAYS"}
# What docs/features.md writes out, and what a team may have deleted.
NOT_HERE = ("app/notes/", "tests/notes/", "app/site/")

documents = pytest.mark.parametrize("document", DOCUMENTS, ids=label)


@documents
def test_every_link_leads_somewhere(document: Path) -> None:
    broken = []
    for target in LINK.findall(prose(document.read_text())):
        if target.startswith(("https://", "http://")):
            continue
        path, _, anchor = target.partition("#")
        found = (document.parent / path).resolve() if path else document
        if not found.exists() or (anchor and anchor not in anchors(found.read_text())):
            broken.append(target)
    assert broken == []


@documents
def test_every_file_that_is_named_is_there(document: Path) -> None:
    if document.name == "CHANGELOG.md":
        return  # it names what was there before
    named = [code for code in codes(document.read_text()) if PATH.fullmatch(code)]
    paths = [code for code in named if code.split("/")[0] in TOP and "/" in code.rstrip("/")]
    missing = [
        path
        for path in paths
        if not (PROJECT_ROOT / path).exists() and not path.startswith(NOT_HERE)
    ]
    assert missing == []


@documents
def test_every_command_that_is_named_is_there(document: Path) -> None:
    text = document.read_text()
    named = COMMAND.findall("\n".join([*codes(text), *blocks(text, "sh")]))
    context = click.Context(manage.cli)
    for name, subcommand in named:
        command = manage.cli.get_command(context, name)
        assert command is not None, name
        if isinstance(command, click.Group) and subcommand:
            assert command.get_command(context, subcommand) is not None, f"{name} {subcommand}"


@documents
def test_every_setting_that_is_named_is_there(document: Path) -> None:
    words = [code.split("=")[0].removeprefix("$") for code in codes(document.read_text())]
    named = {word for word in words if VARIABLE.fullmatch(word)}
    assert named - set(Config.model_fields) - OTHER_VARIABLES - CONSTANTS == set()


@documents
def test_python_in_documents_compiles(document: Path) -> None:
    text = document.read_text()
    for source in blocks(text, "python"):
        compile(source, label(document), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


@pytest.mark.parametrize("name", ["README.md", "docs/features.md"])
def test_a_feature_is_written_out_in_files_that_can_be_copied(name: str) -> None:
    found = recipes.files((PROJECT_ROOT / name).read_text())
    assert {"app/notes/__init__.py", "app/notes/feature.py", "app/notes/views.py"} <= set(found)
    assert "def init_app(app: Quart) -> None:" in found["app/notes/feature.py"]
    endpoints = set(re.findall(r"url_for\('(notes\.\w+)'", "".join(found.values())))
    for endpoint in endpoints:
        assert f"async def {endpoint.partition('.')[2]}(" in found["app/notes/views.py"]


def test_the_functions_that_jobs_md_shows_are_those_of_the_feature() -> None:
    feature = (PROJECT_ROOT / "docs" / "features.md").read_text()
    shown = [
        ast.get_source_segment(sample, node)
        for sample in blocks((PROJECT_ROOT / "docs" / "jobs.md").read_text(), "python")
        for node in ast.parse(sample).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name != "init_app"  # shortened to the line about schedules
    ]
    assert len(shown) > 3
    assert [function for function in shown if str(function) not in feature] == []


@pytest.mark.parametrize("document", [path for path in DOCUMENTS if path.name != "README.md"])
def test_the_readme_links_to_every_document(document: Path) -> None:
    assert f"]({label(document)}" in README


def test_the_two_commands_do_everything() -> None:
    setup = "python3 -m venv .venv && .venv/bin/pip install -q -c constraints.txt -e"
    assert f"\n{setup} '.[dev]' && .venv/bin/python manage.py serve\n" in README
    assert f"\n{setup} '.[test]' && .venv/bin/python manage.py test\n" in README


def test_every_command_stands_in_the_readmes_table() -> None:
    table = README.partition("\n## Commands\n")[2].partition("\n## ")[0]
    first_column = "\n".join(re.findall(r"^\| (.+?) \| ", table, re.MULTILINE))
    named = set(re.findall(r"`([a-z-]+)[ `]", first_column)) - {"arq"}
    assert named == set(manage.COMMANDS)


def test_the_readmes_map_is_complete() -> None:
    [drawn] = [block for block in blocks(README, "") if "\napp/\n" in block]
    inside: set[str] = set(re.findall(r"^  ([\w.]+)/? ", drawn, re.MULTILINE))
    top: set[str] = set(re.findall(r"^(\.?[\w.-]+)/?(?: |$)", drawn, re.MULTILINE))
    known = tracked()
    assert inside == {path.split("/")[1] for path in known if path.startswith("app/")}
    assert top == {path.split("/")[0] for path in known} - {".gitignore", ".gitattributes"} - {
        "README.md"
    }


def tracked() -> list[str]:
    """Return the files of the project, as Git has them."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    process = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, check=False)
    if process.returncode:
        pytest.skip("this is not a checkout of Git")
    return [path for path in process.stdout.splitlines() if path != ".venv"]
