"""Which request bodies are accepted: text that the databases can store, in forms that stay small.

The size of bodies and the number of fields are bounded by `app.patches.quart_bodies`.
"""

import json
import re
from itertools import chain
from typing import Any, NoReturn

from quart import Blueprint, Quart
from quart.globals import request_ctx
from quart.wrappers.request import Body
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import BadRequest
from werkzeug.routing import IntegerConverter

from app.config import settings
from app.patches import quart_schema_types
from app.patches.quart_bodies import BoundedBody, BoundedFormParser, BoundedRequest
from app.patches.quart_ranges import RangelessRequest

# JSON has no largest number; the databases' integers have 64 bits.
LARGEST_INTEGER = 2**63 - 1
# NUL, and halves of surrogate pairs.
MOST_VALUES = 2000  # in a JSON body
MOST_PARAMETERS = 100  # in a query string
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


def init_app(app: Quart) -> None:
    """Check every path, query string and body before a view sees it."""
    quart_schema_types.apply()
    app.request_class = StorableRequest
    app.url_map.converters["int"] = IdConverter
    app.before_request(check_url)


class IdConverter(IntegerConverter):
    """An integer in a path: with more digits than any database's there is no such page."""

    regex = r"\d{1,19}"


def bound_forms(blueprint: Blueprint) -> None:
    """Give the routes of a blueprint the smaller limit of account forms, `MAX_ACCOUNT_FORM`."""

    @blueprint.before_request
    async def lower_limit() -> None:
        body = request_ctx.request.body  # the proxy costs a lookup
        assert isinstance(body, BoundedBody)  # noqa: S101  (for the type checker: it is our request class)
        body.lower_limit(settings.MAX_ACCOUNT_FORM)


class StorableFormParser(BoundedFormParser):
    """A form parser that refuses text that no database stores."""

    async def parse(
        self,
        body: Body,
        mimetype: str,
        content_length: int | None,
        options: dict[str, str] | None = None,
    ) -> tuple[MultiDict[str, Any], MultiDict[str, Any]]:
        """Return the fields and the files of a form. Raises 400 for text that is not storable."""
        form, files = await super().parse(body, mimetype, content_length, options)
        require_storable(dict(form.lists()))
        return form, files


class StorableRequest(RangelessRequest, BoundedRequest):
    """The application's request: bounded, and with nothing in it that no database stores."""

    form_data_parser_class = StorableFormParser

    def parse_json(self, data: bytes) -> Any:
        """Parse a body as RFC 8259 has it: without NaN and Infinity, which Python would accept.

        Numbers without a fraction are integers, however they are written: 5.0 is 5.
        """
        value = json.loads(data, parse_constant=_refuse_constant, parse_float=_number)
        require_few_values(value)
        require_storable(value)
        return value


async def check_url() -> None:
    """Refuse a path or a query string with text that is not storable, or too many parameters."""
    asked = request_ctx.request
    require_storable(asked.path)
    if asked.query_string.count(b"&") >= MOST_PARAMETERS:
        raise BadRequest(f"The query string holds more than {MOST_PARAMETERS} parameters.")
    if asked.query_string:
        require_storable(list(chain.from_iterable(asked.args.items(multi=True))))


def require_few_values(value: Any) -> None:
    """Raise 400 for JSON with more values than any operation takes.

    Each may be a mistake, and to find and to name a hundred thousand takes seconds.
    """
    waiting, found = [value], 0
    while waiting:
        each = waiting.pop()
        inner = each.values() if isinstance(each, dict) else each if isinstance(each, list) else ()
        found += len(inner)
        if found > MOST_VALUES:
            raise BadRequest(f"The body holds more than {MOST_VALUES:,} values.")
        waiting.extend(inner)


def require_storable(value: Any) -> None:
    """Raise 400 for text with NUL or half a surrogate pair, and for numbers beyond 64 bits.

    No database takes them, and what they raise there differs from driver to driver.
    """
    if isinstance(value, str):
        if UNSTORABLE.search(value):
            raise BadRequest("The text holds a character that cannot be stored.")
    elif isinstance(value, int | float):
        if abs(value) > LARGEST_INTEGER:
            raise BadRequest("A number is too large.")
    elif isinstance(value, dict):
        for key, item in value.items():
            require_storable(key)
            require_storable(item)
    elif isinstance(value, list):
        for item in value:
            require_storable(item)


def _number(text: str) -> int | float:
    value = float(text)
    return int(value) if value.is_integer() else value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
