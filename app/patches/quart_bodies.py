"""Quart 0.22: the limits on request bodies can be passed, and malformed bodies are not refused.

1. `MAX_CONTENT_LENGTH` is compared with what waits to be read, so a chunked body that is read while
   it arrives (multipart) may have any size, and one that grows too large while it is read seems to
   end early. The limit of a single request cannot be lowered
   (https://github.com/pallets/quart/issues/425).
2. `MAX_FORM_PARTS` does not limit the fields of urlencoded forms.
3. A form that cannot be parsed, or is of another content type, seems to be empty. JSON that is
   nested too deeply or is not UTF-8 is answered with 500 instead of 400.
"""

import json
from typing import Any
from urllib.parse import parse_qsl

from quart import Request
from quart.formparser import FormDataParser
from quart.wrappers.request import Body
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge, UnsupportedMediaType


class BoundedBody(Body):
    """A body that counts every byte that arrives, whether it has been read already or not."""

    def __init__(self, expected_content_length: int | None, max_content_length: int | None) -> None:
        super().__init__(expected_content_length, max_content_length)
        self._expected = expected_content_length
        self._received = 0

    def append(self, data: bytes) -> None:
        """Take in a chunk, or refuse the body with 413 if that makes it too large."""
        self._received += len(data)
        if self._max_content_length is not None and self._received > self._max_content_length:
            self._refuse()
        super().append(data)

    async def __anext__(self) -> bytes:
        """Return the next chunk. Raise 413 rather than end when the body has grown too large."""
        try:
            return await super().__anext__()
        except StopAsyncIteration:
            if self._must_raise is not None:
                raise self._must_raise from None
            raise

    def lower_limit(self, limit: int) -> None:
        """Lower the limit, in bytes; applies to what was announced or received already."""
        self._max_content_length = limit
        if max(self._expected or 0, self._received) > limit:
            self._refuse()

    def _refuse(self) -> None:
        self._must_raise = RequestEntityTooLarge()
        self._data.clear()
        self.set_complete()


class BoundedFormParser(FormDataParser):
    """Quart's parser, with a limit on urlencoded fields, that refuses what it cannot parse."""

    async def parse(
        self,
        body: Body,
        mimetype: str,
        content_length: int | None,
        options: dict[str, str] | None = None,
    ) -> tuple[MultiDict[str, Any], MultiDict[str, Any]]:
        """Return the fields and the files of a form.

        Raises 400 for a malformed form, 413 for too many fields, 415 for another content type.
        """
        if self.get_parse_func(mimetype, options or {}) is None:
            if await body:
                raise UnsupportedMediaType("Send this form as application/x-www-form-urlencoded.")
            return self.cls(), self.cls()  # type: ignore[misc]  # Quart sets it always
        self.silent = False
        try:
            if mimetype == "multipart/form-data":
                return await super().parse(body, mimetype, content_length, options)
            text = (await body).decode("ascii")
            if self.max_form_parts is not None and text.count("&") >= self.max_form_parts:
                raise RequestEntityTooLarge
            fields = parse_qsl(text, keep_blank_values=True, errors="strict")
        except ValueError:  # among them UnicodeDecodeError
            raise BadRequest("The form could not be read.") from None
        return MultiDict(fields), MultiDict()


class BoundedRequest(Request):
    """A request whose body is bounded, and whose JSON is what its content type says."""

    body_class = BoundedBody
    form_data_parser_class = BoundedFormParser

    async def get_json(self, force: bool = False, silent: bool = False, cache: bool = True) -> Any:
        """Return the JSON body. Raises 415 for another content type, 400 for malformed JSON."""
        if not (force or self.is_json):
            raise UnsupportedMediaType("Send JSON, with Content-Type: application/json.")
        if cache and self._cached_json[silent] is not Ellipsis:
            return self._cached_json[silent]
        try:
            data = await self.get_data(as_text=False, parse_form_data=False, cache=True)
            value = self.parse_json(data)
        except RecursionError:
            raise BadRequest("The JSON is nested too deeply.") from None
        except ValueError:
            raise BadRequest("The body is not valid JSON.") from None
        if cache:
            self._cached_json[silent] = value
        return value

    def parse_json(self, data: bytes) -> Any:
        """Parse a body. The application's request class may override this and accept less."""
        return json.loads(data)
