"""Requests as an ASGI server hands them over."""

from collections.abc import Iterable
from typing import Any


def http_scope(
    path: str, headers: Iterable[tuple[bytes, bytes]] = (), *, root_path: str = ""
) -> dict[str, Any]:
    """Return the scope of a GET request from this machine by HTTP/1.1."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": root_path,
        "headers": [(b"host", b"localhost"), *headers],
        "client": ("127.0.0.1", 40000),
        "server": ("127.0.0.1", 8000),
        "extensions": {},
    }
