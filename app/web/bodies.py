"""Request bodies: how large, in how many parts, and what text in them is acceptable.

Quart's own limit counts only what has not been read yet, so a chunked multipart body passes it, and
it does not limit the number of urlencoded fields. Text that no database stores is refused here,
before anything is done with it.
"""

import json
from typing import Any, NoReturn
from urllib.parse import parse_qsl

from quart import Blueprint, Quart, Request, request
from quart.formparser import FormDataParser
from quart.wrappers.request import Body
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge, UnsupportedMediaType

from app.config import settings

# JSON has no largest number; the databases' integers have 64 bits.
LARGEST_INTEGER = 2**63 - 1


class BoundedBody(Body):
    """A body that counts every byte that arrives, read already or not."""

    def __init__(self, expected_content_length: int | None, max_content_length: int | None) -> None:
        super().__init__(expected_content_length, max_content_length)
        self._expected = expected_content_length
        self._received = 0

    def append(self, data: bytes) -> None:
        """Take in what has arrived, unless it is too much."""
        self._received += len(data)
        if self._max_content_length is not None and self._received > self._max_content_length:
            self._refuse()
        super().append(data)

    async def __anext__(self) -> bytes:
        """The next piece.

        A body that grew too large meanwhile is an error, not a body that ends here.
        """
        try:
            return await super().__anext__()
        except StopAsyncIteration:
            if self._must_raise is not None:
                raise self._must_raise from None
            raise

    def lower_limit(self, limit: int) -> None:
        """Allow less than before: what is announced or there already counts."""
        self._max_content_length = limit
        if max(self._expected or 0, self._received) > limit:
            self._refuse()

    def _refuse(self) -> None:
        self._must_raise = RequestEntityTooLarge()
        self._data.clear()
        self.set_complete()


class FormParser(FormDataParser):
    """Quart's, with a limit on the fields of urlencoded forms and no silence about what cannot be
    read.
    """

    async def parse(
        self,
        body: Body,
        mimetype: str,
        content_length: int | None,
        options: dict[str, str] | None = None,
    ) -> tuple[MultiDict[str, Any], MultiDict[str, Any]]:
        """The fields and files of a form."""
        if self.get_parse_func(mimetype, options or {}) is None:
            if await body:
                raise UnsupportedMediaType("Send this form as application/x-www-form-urlencoded.")
            return self.cls(), self.cls()  # type: ignore[misc]  # Quart sets it always
        self.silent = False
        try:
            if mimetype == "multipart/form-data":
                form, files = await super().parse(body, mimetype, content_length, options)
            else:
                text = (await body).decode("ascii")
                if self.max_form_parts is not None and text.count("&") >= self.max_form_parts:
                    raise RequestEntityTooLarge
                fields = parse_qsl(text, keep_blank_values=True, errors="strict")
                form, files = MultiDict(fields), MultiDict()
        except ValueError:  # among them UnicodeDecodeError
            raise BadRequest("The form could not be read.") from None
        require_storable(dict(form.lists()))
        return form, files


class BoundedRequest(Request):
    """A request whose body is bounded, and whose JSON is what it says."""

    body_class = BoundedBody

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # No parts of files: ours are small, and Quart's own reading of this header fails on odd
        # ones.
        self.headers.pop("Range", None)

    form_data_parser_class = FormParser

    async def get_json(self, force: bool = False, silent: bool = False, cache: bool = True) -> Any:
        """The JSON body.

        Raises 415 for another content type, 400 for what is no JSON or cannot be stored.
        """
        if not (force or self.is_json):
            raise UnsupportedMediaType("Send JSON, with Content-Type: application/json.")
        if cache and self._cached_json[silent] is not Ellipsis:
            return self._cached_json[silent]
        try:
            value = json.loads(await self.get_data(as_text=False), parse_constant=_refuse_constant)
            require_storable(value)
        except RecursionError:
            raise BadRequest("The JSON is nested too deeply.") from None
        except ValueError:
            raise BadRequest("The body is not valid JSON.") from None
        if cache:
            self._cached_json[silent] = value
        return value


def require_storable(value: Any) -> None:
    """Raise 400 for text with NUL or half a surrogate pair, and for numbers beyond 64 bits.

    No database takes them.
    """
    if isinstance(value, str):
        if "\x00" in value or any("\ud800" <= character <= "\udfff" for character in value):
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


async def check_address() -> None:
    """Refuse a path or a query string with text that cannot be stored."""
    require_storable(
        [request.path, *(part for pair in request.args.items(multi=True) for part in pair)]
    )


def init_app(app: Quart) -> None:
    """Bound every body."""
    app.request_class = BoundedRequest
    app.before_request(check_address)


def bound_forms(blueprint: Blueprint) -> None:
    """Give the routes of a blueprint the smaller limit of account forms."""

    @blueprint.before_request
    async def lower_limit() -> None:
        assert isinstance(request.body, BoundedBody)  # noqa: S101  (for the type checker: it is our request class)
        request.body.lower_limit(settings.MAX_ACCOUNT_FORM)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
