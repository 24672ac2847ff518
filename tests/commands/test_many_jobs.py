"""A hundred thousand dead jobs: listing them, retrying some, and discarding the others."""

import json
import re
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import pytest

from app.jobs.service import BATCH
from tests.clones import Clone
from tests.commands.filling import DEAD, fill, number_of

pytestmark = [pytest.mark.faults, pytest.mark.waits]

MOST_MEMORY = 200 * 1024  # KiB; holding all of them would take more than 450 MiB
BOUND = 20_000  # parameters and more: PostgreSQL's protocol has 32,767 at most


def memory_of(clone: Clone, *arguments: str) -> tuple[int, int]:
    """Return how many lines a command prints, and how much memory it takes at most, in KiB.

    As a pipeline does, this reads only a part of them at first.
    """
    with subprocess.Popen(
        [sys.executable, "manage.py", *arguments],
        cwd=clone.folder,
        env=clone.env,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        first = process.stdout.readline()
        assert json.loads(first)["state"] == "dead"
        number, memory = 1, 0
        for _ in process.stdout:
            number += 1
            if number % 1000 == 1:
                memory = most_memory(process.pid)
    assert process.returncode == 0
    return number, memory


def most_memory(process: int) -> int:
    """Return how much memory a process has had since it was started, in KiB.

    Not by `wait4`, which counts what its parent had when it forked.
    """
    status = Path(f"/proc/{process}/status").read_text()
    [found] = re.findall(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
    return int(found)


async def test_they_are_listed_chosen_retried_and_discarded(clone: Clone) -> None:
    await fill(clone)
    number, memory = memory_of(clone, "jobs", "list", "--all", "--json")
    assert number == DEAD
    assert memory < MOST_MEMORY

    chosen = ["--state", "dead", "--error", "connection REFUSED", "--before", "1d"]
    assert len(clone.does("jobs", "list", *chosen, "-n", str(BATCH + 1)).splitlines()) == BATCH + 1
    assert "25,000 jobs are due now." in clone.does("jobs", "retry", *chosen)
    assert await number_of(clone, "waiting") == DEAD // 4
    [(attempts,)] = await clone.query("SELECT max(attempt) FROM jobs WHERE state = 'waiting'")
    assert attempts == 0

    found = await clone.query("SELECT id FROM jobs WHERE state = 'dead' ORDER BY error, id")
    ids = [str(UUID(str(identifier))) for (identifier,) in found[: 2 * BOUND]]
    assert "40,000 jobs are discarded." in clone.does("jobs", "discard", *ids)
    assert await number_of(clone, "discarded") == 2 * BOUND

    nobody = str(UUID(int=DEAD + 1))
    words = clone.refuses("jobs", "discard", *ids[:2], nobody)
    assert "0 jobs are discarded, of 3: each of the others does not exist" in words
    words = clone.does("jobs", "discard", "--name", "jobs.delete_finished")
    assert f"{DEAD - 2 * BOUND:,} jobs are discarded." in words
    assert await number_of(clone, "discarded") == DEAD
    [(entries,)] = await clone.query("SELECT count(*) FROM trail")
    assert entries >= DEAD + DEAD // 4, "each of them is on the trail"
