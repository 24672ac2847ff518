"""What may happen in an example, and the values that it is tried with."""

from collections.abc import Callable, Coroutine
from datetime import timedelta
from functools import wraps
from typing import Any, Protocol

from hypothesis import strategies as st

from app.auth.models import Purpose
from tests.accounts.any_order.model import BROWSERS, EMAILS, NAMES, PASSWORDS, spellings

# Odd, so that no lifetime ends in the very moment that these lead to: lifetimes are multiples of
# five minutes.
ODD = timedelta(seconds=7)
MINUTES, HOURS, DAYS = timedelta(minutes=5) + ODD, timedelta(hours=5) + ODD, timedelta(days=6) + ODD
SPANS = [MINUTES, MINUTES, timedelta(minutes=30) + ODD, HOURS, HOURS, timedelta(days=1) + ODD, DAYS]


Step = Callable[..., Coroutine[Any, Any, None]]


Event = st.SearchStrategy[tuple[str, dict[str, Any]]]

EVENTS: dict[str, list[Event]] = {}  # by the class that declares them
NEEDED: dict[str, Purpose] = {}


def event(
    weight: int = 1, needs: Purpose | None = None, **values: st.SearchStrategy[Any]
) -> Callable[[Step], Step]:
    """Declare a step that may happen, once there has been a link of the purpose that it needs.

    Steps are not rules of their own: of those Hypothesis leaves most out of an example, which finds
    less in few examples.
    """

    def declare(method: Step) -> Step:
        declarer, _, _ = method.__qualname__.partition(".")
        for _ in range(weight):  # a strategy for each: Hypothesis counts one that it has once
            happening: Event = st.tuples(st.just(method.__name__), st.fixed_dictionaries(values))
            EVENTS.setdefault(declarer, []).append(happening)
        if needs:
            NEEDED[method.__name__] = needs
        return method

    return declare


class Machine(Protocol):
    """What runs its steps by hand, since Hypothesis calls them outside any loop."""

    def run(self, work: Coroutine[Any, Any, None]) -> None: ...


def in_the_loop(method: Step) -> Callable[..., None]:
    @wraps(method)
    def run(self: Machine, **values: Any) -> None:
        self.run(method(self, **values))

    return run


often = [EMAILS[n] for n in (0, 0, 1, 1, 2, 3, 3, 4)]
emails = st.sampled_from(often)
spelled = st.sampled_from([spelling for email in often for spelling in spellings(email)])
words = st.sampled_from(PASSWORDS)
guesses = st.sampled_from([*[None] * 9, *PASSWORDS])  # none: the right one
# Of the password on the page of a link: none, a wrong one, or the right one.
shown = st.sampled_from([True, True, True, False, *PASSWORDS])
bad_guesses = st.sampled_from([None, *PASSWORDS])
names = st.sampled_from(NAMES)
nth = st.sampled_from([0, 0, 0, 0, 1, 1, 2, 3, -1, -2, -3, -5])  # see `World._pick`
by_page = st.booleans()
browsers = st.sampled_from([BROWSERS[0], *BROWSERS])
mailed = st.sampled_from(
    [True, True, True, False]
)  # at once, or whenever the worker comes round to it
often_late = st.booleans()  # of notices, for which much may change before they are sent
times = st.sampled_from([1, 1, 1, 2])  # at the same moment
