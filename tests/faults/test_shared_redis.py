"""Redis as its users have it: behind passwords, TLS and sockets, and shared with others."""

import asyncio
import re
import signal
import time
from collections.abc import AsyncIterator, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from app.environment import PROJECT_ROOT
from tests.accounts.surfaces import LOG_IN, PAGE, REQUEST_RESET
from tests.faults.accounts.deployed import send
from tests.faults.shared import (
    ARQ,
    ENCODED,
    PASSWORD,
    Shared,
    arq_check,
    findings,
    log_of,
    move,
    sharing,
    stop,
    tls,
)
from tests.processes import get, served
from tests.test_deployment_files import read, services

pytestmark = [pytest.mark.faults, pytest.mark.waits]

KINDS = (
    "tcp",
    "password beside",
    "unix",
    "tls trusting anybody",
    "tls trusting one",
    "as Heroku gives it",
)


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Shared]:
    with sharing(tmp_path) as server:
        yield server


@pytest.fixture
async def addresses(shared: Shared, tmp_path: Path) -> AsyncIterator[dict[str, dict[str, str]]]:
    """Return the variables that name one server in each way."""
    socket = quote(str(move(shared.socket, tmp_path)))
    async with tls(shared.port, tmp_path) as (port, certificate):
        secure = f"rediss://:{ENCODED}@127.0.0.1:{port}"
        trusted = f"ssl_cert_reqs=required&ssl_ca_certs={quote(str(certificate))}"
        urls = {
            "tcp": f"redis://:{ENCODED}@127.0.0.1:{shared.port}/",
            "password beside": f"redis://127.0.0.1:{shared.port}?db=0",
            "unix": f"unix://{socket}?db=0&password={ENCODED}",
            "tls trusting anybody": f"{secure}?ssl_cert_reqs=none",
            "tls trusting one": f"{secure}/0?{trusted}&ssl_check_hostname=true",
            "as Heroku gives it": secure,
        }
        assert set(urls) == set(KINDS)
        found = {kind: {"REDIS_URL": url} for kind, url in urls.items()}
        found["password beside"]["REDIS_PASSWORD"] = PASSWORD
        found["as Heroku gives it"]["REDIS_VERIFY_CERTIFICATE"] = "false"
        yield found


def wait_until_alive(shared: Shared, env: dict[str, str], prefix: str) -> None:
    deadline = time.monotonic() + 90
    while not shared.admin.exists(f"{prefix}arq:queue:health-check"):
        assert time.monotonic() < deadline, log_of(env)
        time.sleep(0.1)


async def test_whatever_reads_the_address_reads_the_same(
    shared: Shared, addresses: dict[str, dict[str, str]]
) -> None:
    env = shared.install("one", REDIS_PREFIX="one:")
    for kind in KINDS:
        shared.admin.flushall()
        given = env | addresses[kind]
        worker = shared.start_worker(given)
        await asyncio.to_thread(wait_until_alive, shared, env, "one:")
        checked = await asyncio.to_thread(arq_check, given)
        assert checked.returncode == 0, (kind, checked.stderr)
        found = await asyncio.to_thread(findings, given)
        assert "qb.E" not in found, (kind, found)
        assert await asyncio.to_thread(stop, worker) == 0, log_of(env)
    for told in (log_of(env), found, checked.stderr):
        assert PASSWORD not in told
        assert ENCODED not in told


async def test_a_certificate_that_nobody_vouches_for_is_refused_until_one_says_so(
    shared: Shared, addresses: dict[str, dict[str, str]]
) -> None:
    env = shared.install("one")
    url = addresses["tls trusting anybody"]["REDIS_URL"].partition("?")[0]
    found = await asyncio.to_thread(findings, env | {"REDIS_URL": url})
    assert "qb.E004" in found
    assert "certificate" in found
    assert "REDIS_VERIFY_CERTIFICATE=false" in found, "the way out"
    assert ENCODED not in found


def compose_environment(shared: Shared) -> dict[str, str]:
    """Return what compose.yaml tells its services of Redis, with the server of a test."""
    [settings] = re.findall(r"\n  environment:\n((?:    .+\n)+)", read("compose.yaml"))
    pairs = re.findall(r"^    (REDIS_\w+): (.+)$", settings, re.MULTILINE)
    filled = {
        name: re.sub(r"\$\{VALKEY_PASSWORD:[^}]*\}", PASSWORD, value) for name, value in pairs
    }
    assert set(filled) == {"REDIS_URL", "REDIS_PASSWORD"}
    filled["REDIS_URL"] = filled["REDIS_URL"].replace("//valkey", f"//127.0.0.1:{shared.port}")
    return filled


def test_the_health_check_of_compose_works_with_a_password_of_any_characters(
    shared: Shared,
) -> None:
    env = shared.install("one", REDIS_PREFIX="one:") | compose_environment(shared)
    [words] = re.findall(r"test: \[CMD, (arq.+)\]", services()["worker"])
    command = [ARQ, *words.split(", ")[1:]]
    assert arq_check(env, *command).returncode == 1
    worker = shared.start_worker(env)
    wait_until_alive(shared, env, "one:")
    assert arq_check(env, *command).returncode == 0
    assert stop(worker) == 0


def test_two_installations_in_one_redis_do_not_see_each_other(
    shared: Shared, tmp_path: Path
) -> None:
    one, two = shared.install("one"), shared.install("two")
    first, second = (
        f"qb-{sha256(f'{name}.example.com'.encode()).hexdigest()[:8]}:" for name in ("one", "two")
    )
    workers = {name: shared.start_worker(env) for name, env in (("one", one), ("two", two))}
    wait_until_alive(shared, one, first)
    wait_until_alive(shared, two, second)
    for env in (one, two):
        assert "qb.E" not in findings(env)
    stop(workers["one"], signal.SIGKILL)
    time.sleep(3)  # for its heartbeat to expire
    assert "qb.E005: No worker is alive" in findings(one)
    assert "qb.E" not in findings(two)
    assert (arq_check(one).returncode, arq_check(two).returncode) == (1, 0)
    for env, expected in ((one, "none is alive: jobs wait"), (two, "is alive")):
        with served(env, tmp_path / "web.log") as server:
            assert expected in get(f"{server.url}/readyz")[1]
    names = {key.decode() for key in shared.admin.scan_iter()}
    assert {name for name in names if not name.startswith((first, second))} == set()
    assert stop(workers["two"]) == 0


def test_two_installations_with_the_same_prefix_are_found_out(shared: Shared) -> None:
    one = shared.install("one", REDIS_PREFIX="same:")
    two = shared.install("two", REDIS_PREFIX="same:")
    worker = shared.start_worker(one)
    wait_until_alive(shared, one, "same:")
    assert "qb.E" not in findings(one)
    found = findings(two)
    assert "qb.E005" in found, "the other's worker does not hide that there is none"
    assert "qb.E020: Another installation uses the same keys, REDIS_PREFIX=same:" in found
    assert "Set REDIS_PREFIX" in found
    other = shared.start_worker(two)
    deadline = time.monotonic() + 90
    while "share REDIS_PREFIX=same:" not in log_of(one):
        assert time.monotonic() < deadline, log_of(two)
        time.sleep(0.2)
    time.sleep(2.5)
    for env in (one, two):
        assert "qb.E020" in findings(env)
        assert log_of(env).count("share REDIS_PREFIX=same:") == 1
    assert (stop(worker), stop(other)) == (0, 0)


def commands_of_docs() -> list[str]:
    """Return the rule for an ACL in docs/deploying.md."""
    page = (PROJECT_ROOT / "docs" / "deploying.md").read_text()
    [rule] = re.findall(r"ACL SETUSER shop on (.+?)\n```", page, re.DOTALL)
    return [word for word in rule.replace("\\\n", " ").split() if not word.startswith(">")]


def test_a_user_of_redis_who_may_use_one_prefix_alone_is_enough(
    shared: Shared, tmp_path: Path
) -> None:
    rules = commands_of_docs()
    assert {"~shop:*", "&shop:*", "-@all"} <= set(rules)
    command: Any = shared.admin.execute_command  # it has no type
    command("ACL", "SETUSER", "shop", "on", f">{PASSWORD}", *rules)
    env = shared.install("one", REDIS_URL=shared.url("shop"), REDIS_PREFIX="shop:")
    worker = shared.start_worker(env)
    wait_until_alive(shared, env, "shop:")
    with served(env, tmp_path / "web.log") as server:
        form = {"email": "admin@example.com", "password": "seven purple herons"}
        for _ in range(2):
            assert send(server, LOG_IN.request(form, by_page=PAGE)).status == 303
        form.pop("password")
        assert send(server, REQUEST_RESET.request(form, by_page=PAGE)).status == 303
        assert get(f"{server.url}/readyz")[1].count('"ok"') >= 4
    time.sleep(3)  # the job that mails is tried, and another heartbeat written
    assert "qb.E" not in findings(env)
    assert arq_check(env).returncode == 0
    assert stop(worker) == 0, log_of(env)
    assert command("ACL", "LOG") == [], "what was denied"
    kinds = {key.decode().split(":")[1] for key in shared.admin.scan_iter()}
    assert {"limits", "probe"} <= kinds
    assert {key.decode() for key in shared.admin.scan_iter() if key[:5] != b"shop:"} == set()
