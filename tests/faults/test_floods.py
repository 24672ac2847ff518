"""Bodies over the limit, bombs of fields, and floods of requests that hash passwords."""

import asyncio
import json
import os
import re
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from app.auth.models import Credential, Purpose, User
from app.auth.tokens import digest, new_secret
from app.database import utcnow
from tests.faults.conftest import ADMINISTRATOR, transaction
from tests.processes import NO_LIMITS, Served, exchange, served, watching

pytestmark = pytest.mark.faults

HEAD = "POST {} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: {}\r\n"
CHUNK = b"10000\r\n" + b"a" * 65536 + b"\r\n"  # 64 KiB
FORM = "application/x-www-form-urlencoded"


@pytest.fixture
def server(deployment: dict[str, str], tmp_path: Path) -> Iterator[Served]:
    with served(deployment | NO_LIMITS, tmp_path / "server.log") as running:
        yield running


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer else 0


async def test_a_chunked_body_over_the_limit_is_a_413(server: Served) -> None:
    """Without Content-Length the size is unknown, and multipart is read chunk by chunk."""
    part = b'--b\r\nContent-Disposition: form-data; name="f"; filename="x"\r\n\r\n'
    first = b"%x\r\n%s\r\n" % (len(part), part)
    for path in ("/account/login", "/api/v1/session"):
        for kind in ("application/json", FORM, "multipart/form-data; boundary=b", "text/plain"):
            head = (HEAD.format(path, kind) + "Transfer-Encoding: chunked\r\n\r\n").encode()
            answer = await asyncio.to_thread(
                exchange, server.port, head, first, *[CHUNK] * 40, b"0\r\n\r\n", timeout=5
            )
            taken = (
                kind == "application/json"
                if "api" in path
                else kind in (FORM, "multipart/form-data; boundary=b")
            )
            assert status_of(answer) in ({413} if taken else {413, 415}), f"{path} {kind}"


async def test_a_bomb_of_fields_is_refused_and_holds_nobody_up(server: Served) -> None:
    """Parsing every field of 13 MB of `a=&a=&…` would block the event loop for 3 s."""
    bomb = b"a=&" * 4_400_000
    announced = (
        HEAD.format("/account/login", FORM) + f"Content-Length: {len(bomb)}\r\n\r\n"
    ).encode()
    chunked = (HEAD.format("/account/login", FORM) + "Transfer-Encoding: chunked\r\n\r\n").encode()
    small = b"a=&" * 20_000  # within the size, beyond the number of fields
    fits = (HEAD.format("/account/login", FORM) + f"Content-Length: {len(small)}\r\n\r\n").encode()

    async def explode() -> None:
        answers = [
            await asyncio.to_thread(exchange, server.port, head, body, timeout=10)
            for head, body in (
                (announced, bomb),
                (chunked, b"%x\r\n%s\r\n0\r\n\r\n" % (len(bomb), bomb)),
                (fits, small),
            )
        ]
        # A server that answers while the body is still coming closes the connection: the answer may
        # be lost on the way.
        assert {status_of(answer) for answer in answers[:2]} <= {413, 0}
        assert status_of(answers[2]) == 413

    assert await wait_is_short(server, explode)


async def wait_is_short(
    server: Served, happen: Callable[[], Awaitable[object]], most: float = 0.1
) -> bool:
    """Tell whether /livez took less than `most` seconds while something happened.

    On a busy machine twice the wait without load is added, and the best of three attempts counts:
    a busy machine slows some of them down, but a blocked event loop (0.7 s and more) all of them.
    """
    for _ in range(3):
        with watching(server) as idle:
            await asyncio.sleep(0.5)
        with watching(server) as livez:
            await happen()
        assert livez["answers"] > 20
        print(
            f"/livez took {livez['worst'] * 1000:.0f} ms at most, {idle['worst'] * 1000:.0f} ms "
            "before"
        )
        if livez["worst"] - 2 * idle["worst"] < most:
            return True
    return False


async def exchange_json(
    server: Served, path: str, fields: object, bearer: str = ""
) -> tuple[int, bytes]:
    """Post to the API on a connection of its own; return the status and the body."""
    body = json.dumps(fields).encode()
    head = HEAD.format(path, "application/json") + f"Content-Length: {len(body)}\r\n"
    head += f"Authorization: Bearer {bearer}\r\n" if bearer else ""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(f"{head}\r\n".encode() + body)
    answer = await reader.read()
    writer.close()
    return status_of(answer), answer.partition(b"\r\n\r\n")[2]


async def post(server: Served, path: str, fields: object, bearer: str = "") -> int:
    return (await exchange_json(server, path, fields, bearer))[0]


async def post_200(server: Served, path: str, fields: object, bearer: str = "") -> list[int]:
    return await asyncio.gather(*(post(server, path, fields, bearer) for _ in range(200)))


LOG_IN = "/api/v1/session"
WRONG = ADMINISTRATOR | {"password": "wrong"}
PASSWORD = ADMINISTRATOR["password"]
ROOM = 64 + (os.cpu_count() or 1)  # PASSWORD_QUEUE, and a thread for each core


async def test_a_flood_of_log_ins_is_bounded_and_the_rest_goes_on(server: Served) -> None:
    statuses: list[int] = []

    async def flood() -> None:
        statuses[:] = await post_200(server, LOG_IN, WRONG)

    assert await wait_is_short(server, flood)
    assert set(statuses) == {401, 503}
    assert statuses.count(401) >= ROOM
    assert statuses.count(503) > 0
    assert await post(server, LOG_IN, ADMINISTRATOR) == 201, "afterwards everything is as before"


# zxcvbn is written in Python: its threads take turns with the event loop, where hashing goes on
# beside it.
WEIGHED = 1.0  # seconds; on the event loop it would be all that the flood takes, some ten seconds


async def begin_session(server: Served) -> str:
    status, body = await exchange_json(server, LOG_IN, ADMINISTRATOR)
    assert status == 201
    return str(json.loads(body)["token"])


async def test_a_flood_of_changed_passwords_is_bounded_and_the_rest_goes_on(server: Served) -> None:
    """Verify, judge and hash a password for each request.

    The new password equals the old one, so that all requests are valid.
    """
    statuses: list[int] = []

    async def flood() -> None:
        fields = {"old_password": PASSWORD, "new_password": PASSWORD}
        statuses[:] = await post_200(
            server, "/api/v1/account/password", fields, await begin_session(server)
        )

    assert await wait_is_short(server, flood, WEIGHED)
    # The first to succeed revokes the session of all others. Requests that were recognised before
    # and verified afterwards succeed as well.
    assert set(statuses) <= {200, 401, 403, 503}
    assert 200 in statuses
    assert statuses.count(503) > 0
    assert await begin_session(server), "afterwards everything is as before"


async def make_reset_link(env: dict[str, str]) -> str:
    secret = new_secret()
    async with transaction(env) as session:
        user = (
            await session.execute(select(User).where(User.email == ADMINISTRATOR["email"]))
        ).scalar_one()
        link = Credential(
            purpose=Purpose.RESET, digest=digest(secret), user_id=user.id, email=user.email
        )
        link.expires_at = utcnow() + timedelta(minutes=10)
        session.add(link)
    return secret


async def test_a_flood_of_resets_is_bounded_and_the_rest_goes_on(server: Served) -> None:
    statuses: list[int] = []

    async def flood() -> None:
        fields = {"token": await make_reset_link(server.env), "new_password": PASSWORD}
        statuses[:] = await post_200(server, "/api/v1/account/password/reset", fields)

    assert await wait_is_short(server, flood, WEIGHED)
    # After one has consumed the link, the rest are refused before anything is judged or hashed, so
    # there may be no 503.
    assert set(statuses) <= {204, 410, 503}
    assert statuses.count(204) == 1
    assert await begin_session(server), "afterwards everything is as before"


async def test_a_flood_of_questions_about_passwords_is_bounded_and_the_rest_goes_on(
    server: Served,
) -> None:
    statuses: list[int] = []

    async def flood() -> None:
        statuses[:] = await post_200(
            server, "/api/v1/password-strength", {"password": PASSWORD, "about": ["Kim"]}
        )

    assert await wait_is_short(server, flood, WEIGHED)
    assert set(statuses) <= {200, 503}
    assert statuses.count(200) >= ROOM
    assert await begin_session(server), "afterwards everything is as before"


async def test_a_password_that_is_hard_to_judge_holds_nobody_up(server: Served) -> None:
    """Send a password of characters that stand for letters: zxcvbn tries every combination."""
    hard = {"password": "4@8({[<369&#!1/|0$5+7%2" * 5}
    asked = [asyncio.create_task(post(server, "/api/v1/password-strength", hard)) for _ in range(4)]
    await asyncio.sleep(0.1)  # they are in the threads, or wait for them
    started = time.monotonic()
    assert await post(server, LOG_IN, ADMINISTRATOR) == 201
    assert time.monotonic() - started < 2
    assert set(await asyncio.gather(*asked)) == {200}


def memory(server: Served, name: str) -> float:
    """Return the memory of the process in MiB: now (VmRSS) or at most (VmHWM)."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    [kib] = re.findall(rf"^{name}:\s+(\d+) kB$", status, re.MULTILINE)
    return int(kib) / 1024


@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="needs Linux: the memory is read from /proc"
)
async def test_floods_take_a_bounded_amount_of_memory_and_give_it_back(server: Served) -> None:
    """Hashing takes 19 MiB per thread; a waiting request a few KiB, a refused one nothing."""
    question = {"password": PASSWORD, "about": ["Kim"]}

    async def flood() -> None:
        assert set(await post_200(server, LOG_IN, WRONG)) <= {401, 503}
        assert set(await post_200(server, "/api/v1/password-strength", question)) <= {200, 503}

    idle = memory(server, "VmRSS")
    await flood()  # what is loaded and pooled once
    await asyncio.sleep(2)  # buffers of hashes are given back a second after the last
    before = memory(server, "VmRSS")
    for _ in range(3):
        await flood()
    await asyncio.sleep(2)
    grown, most = memory(server, "VmRSS") - before, memory(server, "VmHWM")
    threads = os.cpu_count() or 1
    print(
        f"idle {idle:.1f} MiB, after one {before:.1f}, after three more {before + grown:.1f}, at "
        f"most {most:.1f}"
    )
    assert grown < 20
    assert most < idle + threads * 19 + 60
