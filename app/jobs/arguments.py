"""What the function of a job may take, and what it is given: JSON that every database stores."""

import json
import re
from collections.abc import Callable
from inspect import Parameter, Signature, iscoroutinefunction, signature
from itertools import chain
from typing import Any

from app.config import DAY

# Bytes of a job's arguments as JSON: they are ids. Data belongs in a table of its own.
LARGEST = 8 * 1024

DEEPEST = 30  # lists and objects in each other; more of them some library cannot read
LONGEST_KEY = 99  # characters; with a name of 100 and a colon it fits its column
LONGEST_DELAY = 10 * 365 * DAY
TAKEN = {"delay", "unique"}  # by `enqueue`

TOO_DEEP = f"it nests more than {DEEPEST} lists and objects"

# A NUL as JSON writes it. Of the backslashes before it each two stand for one.
NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def require_function(name: str, function: Callable[..., Any]) -> None:
    """Raise `ValueError` for a function that `enqueue` cannot give its arguments."""
    if not iscoroutinefunction(function):
        raise ValueError(f"{name} is no coroutine function: declare it by `async def`.")
    for parameter in signature(function).parameters.values():
        if parameter.name in TAKEN or parameter.kind is Parameter.POSITIONAL_ONLY:
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
