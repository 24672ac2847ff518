"""Quart 0.22: a `Range` header that it cannot read is answered with 500.

`bytes=-1`, a suffix that RFC 9110 allows, and nonsense such as `bytes=9-1` raise while a static
file is served.
"""

from typing import Any

from quart import Request


class RangelessRequest(Request):
    """A request without its `Range` header: every file is sent whole, as RFC 9110 allows."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.headers.pop("Range", None)
