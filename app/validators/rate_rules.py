"""Rate limits as they are written: "30/minute", "5 per 5 minutes", "10/minute;100/hour"."""

import re
from functools import lru_cache

from limits import RateLimitItem, parse_many
from limits.util import SEPARATORS, SINGLE_EXPR

FORM = 'write it like 30/minute, "5 per 5 minutes" or 10/minute;100/hour'
MOST = 1_000_000  # hits; each takes room in Redis
LONGEST = 366 * 24 * 3600  # seconds


@lru_cache(1024)
def rate_rules(text: str) -> tuple[RateLimitItem, ...]:
    """Parse a rule, which may have several parts separated by `;`, `,` or `|`: all apply.

    Raises `ValueError` for what cannot be read, lets nothing through, or has no effect.
    """
    for each in SEPARATORS.split(text):
        if not (part := SINGLE_EXPR.fullmatch(each)):
            raise ValueError(f"not a rate limit; {FORM}")
        if len(part[1] + (part[3] or "")) > 12:
            raise ValueError(f"a limit is at most {MOST:,} hits and at most one year")
        # The library reads "5 per 0 minutes" as 5 per minute.
        if re.fullmatch("0+", part[3] or "1"):
            raise ValueError(f"a limit is per at least one unit of time; {FORM}")
    try:
        rules = parse_many(text)
    except ValueError:
        raise ValueError("the unit is second, minute, hour, day, month or year") from None
    for rule in rules:
        if not 0 < rule.amount <= MOST:
            raise ValueError(f"a limit allows from 1 to {MOST:,} hits")
        if rule.get_expiry() > LONGEST:
            raise ValueError("a limit is per at most one year")
    for place, rule in enumerate(rules):
        if any(_implies(other, rule) for other in rules[:place] + rules[place + 1 :]):
            raise ValueError(
                f"{rule.amount} per {rule.multiples} {rule.GRANULARITY.name} has no effect beside "
                "the other limits; remove it"
            )
    return tuple(rules)


def _implies(one: RateLimitItem, other: RateLimitItem) -> bool:
    """Tell whether who keeps one limit cannot exceed the other."""
    windows = -(-other.get_expiry() // one.get_expiry())
    return one.amount * windows <= other.amount
