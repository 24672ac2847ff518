"""Rate limits as they are written: every part counts, and none is without effect."""

import pytest

from app.validators.rate_rules import rate_rules


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("30/minute", [(30, 60)]),
        ("5 per 5 minutes", [(5, 300)]),
        ("10/minute;100/hour", [(10, 60), (100, 3600)]),
        ("10/minute, 100 per hour | 200/day", [(10, 60), (100, 3600), (200, 86400)]),
        ("1/Second", [(1, 1)]),
        ("1000000/year", [(1000000, 31104000)]),
    ],
)
def test_every_part_is_read(text: str, parts: list[tuple[int, int]]) -> None:
    assert [(rule.amount, rule.get_expiry()) for rule in rate_rules(text)] == parts


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("often", "not a rate limit; write it like 30/minute"),
        ("", "not a rate limit"),
        ("30", "not a rate limit"),
        ("10 minutes", "not a rate limit"),
        ("10/minute;", "not a rate limit"),
        ("10/minute;;100/hour", "not a rate limit"),
        ("10/minute:;100/hour", "not a rate limit"),
        ("-1/minute", "not a rate limit"),
        ("1.5/minute", "not a rate limit"),
        ("5/fortnight", "the unit is second"),
        ("0/minute", "from 1 to"),
        ("10/minute;0/hour", "from 1 to"),
        ("5 per 0 minutes", "at least one unit"),
        (f"{10**30}/minute", "at most 1,000,000 hits and"),
        (f"{'9' * 5000}/minute", "at most 1,000,000 hits and"),
        ("1000001/minute", "from 1 to"),
        ("5 per 1000 years", "at most one year"),
        ("10/minute;10/minute", "has no effect"),
        ("10/minute;100/minute", "100 per 1 minute has no effect"),
        ("10/minute;600/hour", "600 per 1 hour has no effect"),
        ("100/hour;200/minute", "200 per 1 minute has no effect"),
    ],
)
def test_what_cannot_be_kept_or_has_no_effect_is_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        rate_rules(text)
