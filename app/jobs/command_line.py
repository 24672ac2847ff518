"""What people type after `manage.py jobs`: moments, names, and the arguments of a job."""

import asyncio
import contextlib
import json
import re
import typing
from collections.abc import Callable, Collection, Coroutine, Iterable
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from inspect import Parameter
from typing import Any, TypeVar
from uuid import UUID

import click
from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError

from app import application
from app.database import utcnow
from app.jobs.arguments import require_valid
from app.jobs.queue import KINDS, Kind
from app.jobs.service import Filter
from app.terminal import printable

T = TypeVar("T")

AGE = re.compile(r"(\d{1,6})([smhd])")
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}

# Kinds of errors of pydantic: what was given is no list, no object.
NESTED = {"list_type", "tuple_type", "set_type", "frozen_set_type", "dict_type", "model_type"}
NO_JSON = " Lists and objects are written as JSON, like [1,2]."


class Moment(click.ParamType[datetime]):
    """A time in UTC, like 2026-11-20 or 2026-11-20T18:30, or one that is so long ago: 90s to 7d."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Return the moment."""
        if isinstance(value, datetime):
            return value
        try:
            if age := AGE.fullmatch(value):
                return utcnow() - timedelta(**{UNITS[age[2]]: int(age[1])})
            found = datetime.fromisoformat(value)
            found = found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
        except (ValueError, OverflowError):
            self.fail(
                f"{value!r} is no time: write one in UTC as 2026-11-20 or 2026-11-20T18:30, or how "
                "long ago it was as 90s, 15m, 12h or 7d.",
                param,
                ctx,
            )
        return found


class Words(click.ParamType[str]):
    """A text that a database can look for: not empty, without NUL and halves of characters."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text."""
        if not value or not value.isprintable():
            self.fail(f"{value!r} must not be empty, nor hold control characters.", param, ctx)
        return str(value)


def require_choice(job_ids: Collection[UUID], wanted: Filter) -> None:
    """Refuse to change jobs that nobody has chosen, or that are chosen in two ways."""
    if not job_ids and wanted == Filter():
        raise click.UsageError(
            "Name jobs by their ids, or choose them by --state, --name, --error or --before."
        )
    if job_ids and wanted != Filter():
        raise click.UsageError("Give either ids or options, not both.")


def unknown(name: str) -> str:
    """Say that this release declares no job of a name, and which ones it declares."""
    *others, last = get_close_matches(name, KINDS, n=3) or [""]
    near = f"{', '.join(others)} or {last}" if others else last
    instead = f"Did you mean {near}?" if near else f"There are: {', '.join(sorted(KINDS))}."
    return f"This release knows no job named {printable(name)}. {instead}"


def run_in_application(
    coroutine: Coroutine[Any, Any, T],
    run: Callable[[Coroutine[Any, Any, T]], T] = asyncio.run,
) -> T:
    """Run a coroutine in the application of the configuration that was chosen."""

    async def inside() -> T:
        # Without the closing, Python would warn of it if the application cannot start.
        with contextlib.closing(coroutine):
            async with application(click.get_current_context().obj):
                return await coroutine

    return run(inside())


def arguments_of(name: str, given: Iterable[str]) -> dict[str, Any]:
    """Read the arguments of a job, each as the annotation of its parameter says.

    Lists, objects and null are written as JSON. Raises `UsageError` for a job that this release
    does not know, and for what cannot be read.
    """
    if name not in KINDS:
        raise click.UsageError(unknown(name))
    kind = KINDS[name]
    parameters = kind.signature.parameters
    takes = f"{name} takes: {', '.join(map(str, parameters.values())) or 'nothing'}."
    hints: dict[str, Any] = {}
    with contextlib.suppress(NameError):  # those of a module that is imported for type checking
        hints = typing.get_type_hints(kind.function)
    arguments: dict[str, Any] = {}
    for words in given:
        argument, separator, value = words.partition("=")
        if not separator:
            raise click.UsageError(f"{words!r} is no argument: write ARGUMENT=VALUE.")
        if argument in arguments:
            raise click.UsageError(f"{argument} is given twice.")
        if argument not in parameters and not _takes_any(kind):
            raise click.UsageError(f"There is no argument {argument!r}. {takes}")
        arguments[argument] = _read(argument, value, hints.get(argument, Any))
    try:
        require_valid(name, arguments, kind.signature)
    except TypeError as error:
        raise click.UsageError(f"{error} {takes}") from None
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    return arguments


def _read(argument: str, value: str, annotation: Any) -> Any:
    if annotation in (Any, object):
        try:
            return json.loads(value)
        except ValueError:
            return value
    try:
        adapter = TypeAdapter(annotation)
    except PydanticSchemaGenerationError:
        return _read(argument, value, Any)
    if value == "null" and _takes_nothing(adapter):
        return None
    try:
        read = adapter.validate_python(value)
    except ValidationError as as_text:
        try:
            read = adapter.validate_json(value)
        except ValidationError as as_json:
            found, hint = as_json.errors(include_url=False)[0], ""
            if found["type"] == "json_invalid":  # it was not meant as JSON, or is none
                found = as_text.errors(include_url=False)[0]
                hint = NO_JSON * (found["type"] in NESTED)
            raise click.UsageError(f"{argument}={value}: {found['msg']}.{hint}") from None
    return adapter.dump_python(read, mode="json")


def _takes_nothing(adapter: TypeAdapter[Any]) -> bool:
    try:
        return adapter.validate_python(None) is None
    except ValidationError:
        return False


def _takes_any(kind: Kind) -> bool:
    return any(each.kind is Parameter.VAR_KEYWORD for each in kind.signature.parameters.values())
