"""Jobs that tests enqueue, and what they have left."""

import asyncio
from typing import Any

from app.jobs.context import GiveUp, current
from app.jobs.queue import job

RAN: list[Any] = []  # emptied before each test


@job("tests.note")
async def note(value: object = None) -> None:
    RAN.append(value)


@job("tests.needs_arguments")
async def needs_arguments(value: int, many: list[int] | None = None) -> None:
    RAN.append((value, many))


@job("tests.maybe_text")
async def maybe_text(value: str | None) -> None:
    RAN.append(value)


@job("tests.text")
async def take_text(value: str) -> None:
    RAN.append(value)


class Thing:
    pass


@job("tests.odd_annotations")
async def odd_annotations(value: Thing | None, missing: "Missing" = None) -> None:  # type: ignore[name-defined]  # noqa: F821
    RAN.append((value, missing))


@job("tests.fail", max_attempts=3)
async def fail() -> None:
    RAN.append(current.get().attempt)  # type: ignore[union-attr]
    raise ValueError("no\x00 luck")


@job("tests.give_up")
async def give_up() -> None:
    RAN.append("gave up")
    raise GiveUp("There is no such thing.")


@job("tests.sleep", timeout=0.1, max_attempts=1)
async def sleep() -> None:
    await asyncio.sleep(5)


@job("tests.exit", max_attempts=1)
async def leave() -> None:
    raise SystemExit(3)


@job("tests.interrupt", max_attempts=1)
async def interrupt() -> None:
    raise KeyboardInterrupt


class Silent(Exception):
    def __str__(self) -> str:
        raise ValueError


@job("tests.silent", max_attempts=1)
async def silent() -> None:
    raise Silent


class SilentExit(SystemExit):
    def __str__(self) -> str:
        raise SystemExit(3)


@job("tests.silent_exit", max_attempts=1)
async def silent_exit() -> None:
    raise SilentExit


class Loud(Exception):
    pass


@job("tests.loud", max_attempts=1)
async def loud() -> None:
    raise Loud("x" * 10_000_000)


@job("tests.cancel_itself", max_attempts=1)
async def cancel_itself() -> None:
    task = asyncio.current_task()
    assert task
    task.cancel()
    await asyncio.sleep(5)


@job("tests.cancel", max_attempts=1)
async def cancel() -> None:
    raise asyncio.CancelledError


@job("tests.several", max_attempts=1)
async def several() -> None:
    async def fail(error: Exception) -> None:
        raise error

    async with asyncio.TaskGroup() as group:
        group.create_task(fail(ValueError("one")))
        group.create_task(fail(KeyError("two")))
