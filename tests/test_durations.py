"""Durations in words."""

import pytest

from app.durations import in_words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (1, "1 second"),
        (2, "2 seconds"),
        (60, "1 minute"),
        (61, "61 seconds"),
        (130, "3 minutes"),
        (1800, "30 minutes"),
        (3600, "1 hour"),
        (5400, "90 minutes"),
        (7201, "3 hours"),
        (86_399, "24 hours"),
        (86_400, "1 day"),
        (7 * 86_400, "7 days"),
    ],
)
def test_a_duration_is_said_in_its_largest_fitting_unit(seconds: int, words: str) -> None:
    assert in_words(seconds) == words
