"""Commands as a shell begins and ends them, and jobs that are hard to end."""

import signal
import subprocess
import sys
from typing import Protocol

from tests.clones import Clone

ODD_JOBS = """

@job("jobs.sleep", timeout=100)
async def sleep(seconds: float) -> None:
    import asyncio
    print("it has begun", flush=True)
    await asyncio.sleep(seconds)


@job("jobs.hang", timeout=4, max_attempts=1)
async def hang() -> None:
    import asyncio
    import threading
    print("it has begun", flush=True)
    await asyncio.to_thread(threading.Event().wait)


@job("jobs.ignore", timeout=100)
async def ignore() -> None:
    import asyncio
    print("it has begun", flush=True)
    while True:
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            pass


@job("jobs.end_slowly", timeout=100)
async def end_slowly() -> None:
    import asyncio
    print("it has begun", flush=True)
    try:
        await asyncio.sleep(100)
    finally:
        await asyncio.sleep(2)


@job("jobs.wait_for_a_line", timeout=100)
async def wait_for_a_line(path: str) -> None:
    import asyncio
    from pathlib import Path
    print("it has begun", flush=True)
    while not Path(path).exists():
        await asyncio.sleep(0.05)


@job("jobs.leave")
async def leave() -> None:
    import asyncio
    import sys

    async def call_exit() -> None:
        sys.exit(0)

    task = asyncio.create_task(call_exit())
    await asyncio.sleep(100)
    await task
"""


class Begin(Protocol):
    def __call__(
        self, clone: Clone, *arguments: str, in_background: bool = False
    ) -> "subprocess.Popen[str]": ...


def begin_as_a_shell(
    clone: Clone, *arguments: str, in_background: bool = False
) -> "subprocess.Popen[str]":
    """Start a command; `in_background` as a script does by `&`."""

    def prepare() -> None:
        # Under nohup, or what starts like it, it would take no notice of SIGHUP.
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_IGN if in_background else signal.SIG_DFL)

    return subprocess.Popen(
        [sys.executable, "manage.py", *arguments],
        cwd=clone.folder,
        env=clone.env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=prepare,
    )


def until_its_job_begins(process: "subprocess.Popen[str]") -> None:
    assert process.stdout
    assert process.stdout.readline() == "it has begun\n"


def end(process: "subprocess.Popen[str]", number: int) -> tuple[str, str]:
    """Send a signal; returns what was printed, and the error, which must be one line."""
    process.send_signal(number)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number, errors
    assert "Traceback" not in errors
    [line] = [line for line in errors.splitlines() if line.startswith("Error: ")]
    return output, line


def with_odd_jobs(clone: Clone) -> None:
    clone.does("setup-dev")
    with (clone.folder / "app" / "jobs" / "jobs.py").open("a") as file:
        file.write(ODD_JOBS)
