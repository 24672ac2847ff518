"""What the function of a job may take, and what it is given: JSON that every database stores."""

import json
import re
from collections.abc import Callable
from inspect import Parameter, Signature, iscoroutinefunction, signature
from itertools import chain
from typing import Any

from app.config import DAY
from app.jobs.models import Priority

# Bytes of a job's arguments as JSON: they are ids. Data belongs in a table of its own.
LARGEST = 8 * 1024

DEEPEST = 30  # lists and objects in each other; more of them some library cannot read
LONGEST_KEY = 99  # characters; with a name of 100 and a colon it fits its column
LONGEST_DELAY = 10 * 365 * DAY
LONGEST_TIMEOUT = 365 * DAY
MOST = 1_000_000  # attempts, and jobs at once
TAKEN = {"delay", "unique"}  # by `enqueue`
UNNAMED = {Parameter.POSITIONAL_ONLY, Parameter.VAR_POSITIONAL}
COUNT = f"a whole number from 1 to {MOST:,}"
SECONDS = f"a number of seconds, more than 0 and at most {LONGEST_TIMEOUT:,}"

TOO_DEEP = f"it nests more than {DEEPEST} lists and objects"

# A job's name: without a colon, which separates it from a unique key.
NAME = re.compile(r"[A-Za-z0-9_.-]{1,100}")

# A NUL as JSON writes it. Of the backslashes before it each two stand for one.
NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def require_name(name: object) -> None:
    """Raise `ValueError` for what cannot be a job's name."""
    if callable(name):
        raise ValueError(f'{name!r} has no name for its job: write @job("feature.does_this").')
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ValueError(
            f"{name!r} cannot be a job's name: use up to 100 letters, digits, dots, dashes and "
            "underscores."
        )


def require_options(
    name: str, timeout: object, max_attempts: object, priority: object, at_once: object
) -> None:
    """Raise `ValueError` for values with which a job would never begin, or stop its workers."""
    _require(name, "max_attempts", max_attempts, _is_count(max_attempts), COUNT)
    _require(name, "at_once", at_once, at_once is None or _is_count(at_once), COUNT)
    _require(name, "timeout", timeout, timeout is None or _is_timeout(timeout), SECONDS)
    _require(name, "priority", priority, isinstance(priority, Priority), "one of Priority")


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MOST


def _is_timeout(value: object) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return 0 < value <= LONGEST_TIMEOUT


def _require(name: str, option: str, value: object, valid: bool, expected: str) -> None:
    if not valid:
        raise ValueError(f"{name} cannot have {option}={value!r}: it is {expected}.")


def require_function(name: str, function: Callable[..., Any]) -> None:
    """Raise `ValueError` for a function that `enqueue` cannot give its arguments."""
    if not iscoroutinefunction(function):
        raise ValueError(f"{name} is no coroutine function: declare it by `async def`.")
    for parameter in signature(function).parameters.values():
        if parameter.name in TAKEN or parameter.kind in UNNAMED:
            raise ValueError(
                f"{name} cannot be given the argument {parameter.name}: arguments are named, and "
                "`enqueue` itself takes delay and unique."
            )


def require_valid_key(name: str, delay: float, unique: str | None = None) -> None:
    """Raise `ValueError` for a delay or a unique key that is out of range."""
    if not isinstance(delay, int | float) or not 0 <= delay <= LONGEST_DELAY:
        raise ValueError(f"{name} takes a delay of 0 to {LONGEST_DELAY} seconds, not {delay!r}.")
    if unique is None:
        return
    if not isinstance(unique, str) or not 1 <= len(unique) <= LONGEST_KEY:
        raise ValueError(f"{name} takes a key of 1 to {LONGEST_KEY} characters, not {unique!r}.")
    _require_storable(name, "unique", unique)


def require_valid(name: str, args: dict[str, Any], takes: Signature) -> None:
    """Raise `TypeError` or `ValueError` for arguments with which a job would fail later."""
    try:
        takes.bind(**args)
    except TypeError as error:
        raise TypeError(f"{name} cannot be called with these arguments: {error}.") from None
    try:
        size = len(_encoded(args))
    except (TypeError, ValueError):
        for argument, value in args.items():
            _require_storable(name, argument, value)
        raise
    if size > LARGEST:
        raise ValueError(
            f"The arguments of {name} are too large: pass ids, and keep the rest in a table."
        )


def _require_storable(name: str, argument: str, value: object) -> None:
    try:
        _encoded({argument: value})
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"The argument {argument!r} of {name} cannot be stored: {error}.") from None


def _encoded(args: dict[str, Any]) -> bytes:
    try:
        text = json.dumps(args, allow_nan=False, ensure_ascii=False)
    except RecursionError:
        raise ValueError(TOO_DEEP) from None
    if text.count("[") + text.count("{") > DEEPEST and _depth(args) > DEEPEST:
        raise ValueError(TOO_DEEP)
    if NUL.search(text):
        raise ValueError("it holds the character NUL, which PostgreSQL does not store")
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise ValueError("it holds half of a surrogate pair, which is no character") from None


def _depth(value: Any) -> int:
    """Return how many lists and objects are in each other."""
    depth, layer = 0, [value]
    while layer := [each for each in layer if isinstance(each, dict | list | tuple)]:
        depth += 1
        values = [each.values() if isinstance(each, dict) else each for each in layer]
        layer = list(chain.from_iterable(values))
    return depth
