"""What docs/jobs.md shows is right for this code."""

import ast
import importlib
import re

import pytest

from app.config import Config
from app.environment import PROJECT_ROOT
from app.jobs.commands import jobs_group

TEXT = (PROJECT_ROOT / "docs" / "jobs.md").read_text()
SAMPLES = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


@pytest.mark.parametrize("sample", SAMPLES)
def test_samples_compile_and_import_what_there_is(sample: str) -> None:
    compile(sample, "docs/jobs.md", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    for node in ast.walk(ast.parse(sample)):
        if isinstance(node, ast.ImportFrom) and not str(node.module).startswith("app.notes"):
            module = importlib.import_module(str(node.module))
            for name in node.names:
                assert hasattr(module, name.name) or node.module == "app", name.name


def test_it_names_settings_and_commands_that_exist() -> None:
    settings = set(re.findall(r"`((?:WORKER|JOB)_[A-Z_]+)`", TEXT))
    assert settings
    assert settings <= set(Config.model_fields)
    shown = set(re.findall(r"manage\.py jobs (\w+)", TEXT))
    assert shown == set(jobs_group.commands)


def test_links_lead_somewhere() -> None:
    for path in ("docs/jobs.md", "app/jobs/engine/README.md"):
        document = PROJECT_ROOT / path
        for link in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
            assert (document.parent / link).exists(), link
