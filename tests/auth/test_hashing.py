"""Passwords: hashed outside of the event loop, in a bounded queue, and checked for strength."""

import asyncio
import os
import subprocess
import sys
import threading
import time

import pytest
from quart import Quart

from app.auth.hashing import Passwords, WeakPassword, passwords
from app.config import Config
from app.errors import Busy


async def test_a_password_verifies_against_its_own_hash_only(app: Quart) -> None:
    password_hash = await passwords.hash("a violet kettle sings")
    assert password_hash.startswith("$argon2id$")
    assert await passwords.verify(password_hash, "a violet kettle sings")
    assert not await passwords.verify(password_hash, "a violet kettle sang")
    assert not await passwords.verify("no hash at all", "a violet kettle sings")
    assert not await passwords.verify(None, "no password of anybody")


def test_production_hashes_as_owasp_recommends() -> None:
    fields = Config.model_fields
    cost = tuple(
        fields[f"ARGON2_{name}"].default for name in ("MEMORY_COST", "TIME_COST", "PARALLELISM")
    )
    assert cost == (19456, 2, 1)


async def test_without_a_hash_the_work_is_the_same(
    app: Quart, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the time of an answer does not tell whether an account exists."""
    checked: list[str] = []
    own: Passwords = app.extensions["passwords"]
    real = own._matches
    monkeypatch.setattr(own, "_matches", lambda h, p: checked.append(h) or real(h, p))  # type: ignore[func-returns-value]
    password_hash = await passwords.hash("a violet kettle sings")
    await passwords.verify(password_hash, "x")
    await passwords.verify(None, "x")
    parameters = [each.split("$")[1:4] for each in checked]
    assert parameters[0] == parameters[1]


async def test_beyond_the_queue_it_refuses_at_once(settings: Config) -> None:
    settings.PASSWORD_QUEUE = 2
    small = Passwords(settings)
    release = threading.Event()
    waiting = [asyncio.create_task(small._run(release.wait)) for _ in range(small._free)]
    await asyncio.sleep(0.05)
    started = time.monotonic()
    with pytest.raises(Busy):
        await small.hash("a violet kettle sings")
    assert time.monotonic() - started < 0.5
    release.set()
    await asyncio.gather(*waiting)
    await asyncio.sleep(0.05)
    assert await small.hash("a violet kettle sings")
    small.close()


async def test_whoever_stops_waiting_makes_no_room_before_the_work_is_done(
    settings: Config,
) -> None:
    settings.PASSWORD_QUEUE = 1
    small = Passwords(settings)
    room, release = small._free, threading.Event()
    waiting = [asyncio.create_task(small._run(release.wait)) for _ in range(room)]
    await asyncio.sleep(0.05)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    in_threads = room - small._free
    assert in_threads >= 1, "the threads are still at it"
    release.set()
    await asyncio.sleep(0.1)
    assert small._free == room
    small.close()


async def test_the_event_loop_goes_on_while_passwords_are_hashed(settings: Config) -> None:
    settings.ARGON2_MEMORY_COST, settings.ARGON2_TIME_COST = 19456, 2
    real = Passwords(settings)
    hashing = asyncio.gather(*(real.hash("a violet kettle sings") for _ in range(8)))
    turns = 0
    while not hashing.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 100
    real.close()


@pytest.mark.parametrize(
    ("password", "words"),
    [
        ("short", "12 to 128"),
        ("x" * 129, "12 to 128"),
        ("passwordpassword", "easy to guess"),
        ("qwertyuiop123", "easy to guess"),
        ("robin@example.com", "easy to guess"),
    ],
)
async def test_a_password_that_would_be_guessed_is_refused_with_reasons(
    app: Quart, password: str, words: str
) -> None:
    with pytest.raises(WeakPassword, match=words) as raised:
        await passwords.require_strong(password, ["robin@example.com", "Robin", "Example"])
    assert raised.value.field == "password"


@pytest.mark.parametrize(
    "password", ["a violet kettle sings", "x9$kQ" * 25, "märchen über grüne äpfel"]
)
async def test_a_long_and_odd_password_is_taken(app: Quart, password: str) -> None:
    await passwords.require_strong(password, ["robin@example.com"])


HASH_AND_MEASURE = """
import asyncio, re
from app.auth.hashing import Passwords
from app.config import load_settings

def resident():
    return int(re.search(r"VmRSS:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) // 1024

async def main():
    passwords = Passwords(load_settings("testing"))
    before = resident()
    held = []
    for _ in range(5):
        await asyncio.gather(*(passwords.hash("a password") for _ in range(2)))
        held.append(bytearray(200_000))  # so that the buffer is not the end of the heap
    await asyncio.sleep(1.5)
    print(resident() - before)
    passwords.close()

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc keeps what is freed")
def test_buffers_of_hashes_are_given_back() -> None:
    env = {"PATH": os.environ["PATH"], "ARGON2_MEMORY_COST": "19456"}
    done = subprocess.run(
        [sys.executable, "-c", HASH_AND_MEASURE],
        env=env,
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) < 10, "MiB: a buffer has 19"
