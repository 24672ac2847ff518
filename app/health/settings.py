"""The probe of settings: names that are probably misspelt, and values that have no effect."""

import os
from collections.abc import Iterator
from difflib import get_close_matches

from app.config import Config
from app.environment import CHOICES, environment_files, overruled, repeated, stored
from app.health.findings import CheckMessage, Outcome, Services

# Variables beside the settings, which this application or compose.yaml reads.
BESIDE = (
    *CHOICES,
    "PORT",
    "DEV_DATABASE_URL",
    "TEST_DATABASE_URL",
    "REDISTOGO_URL",
    "POSTGRES_PASSWORD",
    "VALKEY_PASSWORD",
)
# How similar a name is, from 0 to 1. What stands in a `.env` file is probably meant for us; the
# environment has many variables of other programs.
SIMILAR_IN_FILE = 0.8
SIMILAR = 0.92


async def settings(services: Services) -> list[Outcome]:
    """Check that every variable that is set has an effect."""
    return [Outcome("settings", "degraded", "one has no effect", each) for each in in_vain()]


def in_vain() -> Iterator[CheckMessage]:
    """Yield a warning for every variable that is set and probably has no effect."""
    if sentence := overruled():
        yield CheckMessage("qb.W013", sentence, "Unset one of them.")
    seen = set()
    for path in environment_files():
        for name in stored(path):
            seen.add(name)
            yield from _misspelt(name, f" in {path}", SIMILAR_IN_FILE)
        for name in repeated(path):
            message = f"{path} sets {name} more than once, and the last value is used."
            yield CheckMessage("qb.W013", message, "Remove the other lines.")
    for name in sorted(os.environ.keys() - seen):
        yield from _misspelt(name, "", SIMILAR)


def _misspelt(name: str, place: str, similar: float) -> Iterator[CheckMessage]:
    known = (*Config.model_fields, *BESIDE)
    if name in known:
        return
    if found := get_close_matches(name.upper().replace("-", "_"), known, 1, similar):
        message = f"{name}{place} is no setting; {found[0]} is one."
        yield CheckMessage("qb.W014", message, "Correct the name, or remove the variable.")
