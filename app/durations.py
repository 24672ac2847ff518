"""Durations as people say them."""

from math import ceil

from app.settings.types import DAY, HOUR, MINUTE


def in_words(seconds: int) -> str:
    """Return a duration like "45 seconds", "90 minutes" or "1 day", rounded up."""
    for size, unit in ((DAY, "day"), (HOUR, "hour"), (MINUTE, "minute")):
        if seconds % size == 0 or seconds > 2 * size:
            return _counted(ceil(seconds / size), unit)
    return _counted(seconds, "second")


def _counted(count: int, unit: str) -> str:
    return f"{count} {unit}{'' if count == 1 else 's'}"
