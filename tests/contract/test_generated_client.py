"""A client that a program generates from the specification logs in and reads a list to its end."""

import json
import re
from pathlib import Path

import pytest
from sqlalchemy import select

from app.auth.models import User
from tests.contract.conftest import HERE, Deployment, Tools
from tests.faults.conftest import ADMINISTRATOR, transaction
from tests.processes import get, served

pytestmark = pytest.mark.faults

LIMIT = 37


async def test_a_generated_client_pages_through_all_users(
    deployment: Deployment, tools: Tools, tmp_path: Path
) -> None:
    env = await deployment.copy("client")
    with served(env, tmp_path / "server.log") as server:
        specification = get(f"{server.url}/openapi.json")[1]
        asked = ADMINISTRATOR | {
            "url": server.url,
            "package": generate(tools, specification, tmp_path),
            "log_in": module(specification, "post", "/api/v1/session"),
            "list_users": module(specification, "get", "/api/v1/users"),
            "limit": LIMIT,
        }
        printed = tools.run("python", HERE / "page_through.py", json.dumps(asked), cwd=tmp_path)
    pages = json.loads(printed)
    assert {len(page) for page in pages[:-1]} == {LIMIT}
    listed = [user_id for page in pages for user_id in page]
    async with transaction(env) as session:
        assert sorted(listed) == sorted((await session.execute(select(User.id))).scalars())


def generate(tools: Tools, specification: str, folder: Path) -> str:
    """Generate a client without a warning, and install it; returns the name of its package."""
    (folder / "openapi.json").write_text(specification)
    source = folder / "client"
    options = ("--meta", "setup", "--fail-on-warning", "--output-path", source)
    path = folder / "openapi.json"
    printed = tools.run("openapi-python-client", "generate", "--path", path, *options, cwd=folder)
    assert "warning" not in printed.lower()
    pip = ("pip", "install", "-q", "--no-deps", "--no-build-isolation", "--force-reinstall")
    tools.run(*pip, source, cwd=folder)
    [package] = [each.parent.name for each in source.glob("*/py.typed")]
    return package


def module(specification: str, method: str, path: str) -> str:
    """Return the module of an operation below the client's `api`."""
    operation = json.loads(specification)["paths"][path][method]
    names = (operation["tags"][0], operation["operationId"])
    return ".".join(
        re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[^a-zA-Z0-9]+", "_", each) for each in names
    ).lower()
