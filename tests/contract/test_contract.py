r"""The API against its own specification, by schemathesis, as four callers.

Each caller has a server and a database of their own, since they delete what they find. All checks
of schemathesis are on, and two of ours (hooks.py); schemathesis.toml has the exceptions.

    python manage.py test -n 0 -m faults tests/contract

runs it. Variables say how: CONTRACT_EXAMPLES, how many requests are drawn for each operation;
CONTRACT_SEED, from which they are drawn, so that a run can be repeated; CONTRACT_OPTIONS, more
options of `st run`; and CONTRACT_TOOLS, an environment in which requirements.txt is installed
already. One resource as one caller, with more examples:

    CONTRACT_EXAMPLES=100 CONTRACT_SEED=7 CONTRACT_OPTIONS="--include-path-regex /roles" \
        python manage.py test -n 0 -m faults tests/contract -k administrator

A failure shows the request as a `curl` command. An operation that nobody is answered with success
needs right values: see RIGHT and THERE in hooks.py.
"""

import asyncio
import json
import os
import shlex
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.contract.conftest import HERE, Deployment, Tools
from tests.contract.stage import CALLERS, PAGES, VERSIONS, Caller, Stage, listening
from tests.factories.people import PASSWORD
from tests.faults.accounts.deployed import NEW
from tests.processes import get, served, variables

pytestmark = pytest.mark.faults

EXAMPLES = int(os.environ.get("CONTRACT_EXAMPLES", "8"))
OPTIONS = shlex.split(os.environ.get("CONTRACT_OPTIONS", ""))
# A story of requests calls one operation of many, so it takes more stories than requests.
EXTENT = f"""
[phases.fuzzing.generation]
max-examples = {EXAMPLES}

[phases.stateful.generation]
max-examples = {EXAMPLES * 5}
"""
SEED = os.environ.get("CONTRACT_SEED", "1")

# Of the operations that each may call, the share that must have succeeded at least once: else 404
# and 403 are all that was compared with the specification.
SUCCEEDED = {"nobody": 0.75, "user": 0.35, "token": 0.6, "administrator": 0.95}


@pytest.mark.parametrize("caller", CALLERS, ids=lambda caller: caller.name)
async def test_the_api_does_what_its_specification_says(
    caller: Caller, deployment: Deployment, tools: Tools, tmp_path: Path
) -> None:
    env = await deployment.copy(caller.name)
    with served(env, tmp_path / "server.log") as server:
        async with listening(Stage(env, caller), tmp_path / "stage.sock"):
            status, output = await schemathesis(server.url, caller, tools, tmp_path)
        labels = operations(get(f"{server.url}/openapi.json")[1], public=caller.name == "nobody")
    assert status == 0, output
    assert "🚫" not in output, output  # with which it marks what it could not test
    seen = Counter(tuple(each.split(" ", 1)) for each in statuses(tmp_path).split("\n") if each)
    assert not [each for each in seen if each[0].startswith("5")]
    labels &= {label for _, label in seen} if OPTIONS else labels
    succeeded = {label for code, label in seen if code.startswith("2")} & labels
    assert len(succeeded) >= SUCCEEDED[caller.name] * len(labels), sorted(labels - succeeded)


async def schemathesis(url: str, caller: Caller, tools: Tools, folder: Path) -> tuple[int, str]:
    """Run it against a server; returns its exit status and what it prints."""
    known = {"password": PASSWORD, "new_password": NEW, "pages": PAGES, "versions": VERSIONS}
    config = folder / "schemathesis.toml"
    config.write_text((HERE / config.name).read_text() + EXTENT)
    process = await asyncio.create_subprocess_exec(
        *(tools.folder / "bin" / "st", "--config-file", config, "--no-color"),
        *("run", f"{url}/openapi.json", "--checks", "all", "--seed", SEED, "--warnings", "off"),
        *OPTIONS,
        cwd=folder,
        env=variables(
            SCHEMATHESIS_HOOKS="hooks",
            PYTHONPATH=str(HERE),
            PYTHONDONTWRITEBYTECODE="1",
            CONTRACT_CALLER=json.dumps(asdict(caller) | known),
            CONTRACT_SOCKET=str(folder / "stage.sock"),
            CONTRACT_STATUSES=str(folder / "statuses"),
        ),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()


def statuses(folder: Path) -> str:
    """Return a line for each answer: its status, and the operation that was called."""
    return (folder / "statuses").read_text()


def operations(specification: str, *, public: bool) -> set[str]:
    """Return the operations of a specification, like `GET /api/v1/users`: all, or for everybody."""
    return {
        f"{method.upper()} {path}"
        for path, each in json.loads(specification)["paths"].items()
        for method, operation in each.items()
        if not public or {} in (operation.get("security") or [{}])
    }
