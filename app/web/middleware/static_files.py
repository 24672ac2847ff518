"""Static files, answered from memory in front of the application: an ASGI layer."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs

from hypercorn.typing import ASGIFramework, ASGIReceiveCallable, ASGISendCallable, Scope
from werkzeug.datastructures import Accept
from werkzeug.http import parse_accept_header

from app.config import Config
from app.web.files import File, Files

YEAR = 365 * 24 * 3600  # seconds
# Seconds that a client may take to read a file, as for other responses (Quart's RESPONSE_TIMEOUT).
RESPONSE_TIMEOUT = 60.0
# Bytes. Hypercorn copies a piece and keeps it until the client has taken it.
PIECE = 32 * 1024


class StaticFiles:
    """Answer for files by their paths below a prefix; leave those that do not exist to the rest.

    A file costs no thread, no look at the disk and none of the application's own work. It is sent
    compressed to clients that take that. Those that have it get 304, and those that ask for its
    version (`?v=`) may keep it for ever. Ranges are not served.
    """

    def __init__(
        self,
        app: ASGIFramework,
        settings: Config,
        *,
        served: Mapping[str, Callable[[], Files]],
    ) -> None:
        self.app = app
        self.served = served

    async def __call__(
        self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        """Serve one request."""
        if scope["type"] == "http" and scope["method"] in ("GET", "HEAD"):
            path = scope["path"].removeprefix(scope.get("root_path", "").rstrip("/"))
            for prefix, files in self.served.items():
                if path.startswith(prefix) and (file := files().get(path.removeprefix(prefix))):
                    scope["route"] = f"{prefix}<path:filename>"  # type: ignore[typeddict-unknown-key]  # for the log
                    with suppress(TimeoutError):
                        async with asyncio.timeout(RESPONSE_TIMEOUT):
                            await _answer(file, scope, send)
                    return
        await self.app(scope, receive, send)


async def _answer(file: File, scope: Any, send: Any) -> None:
    sent = dict(scope["headers"])
    etag = f'W/"{file.version}"'.encode()  # weak: the same for both encodings
    headers = [(b"etag", etag), (b"cache-control", _caching(file, scope["query_string"]))]
    if file.compressed is not None:
        headers.append((b"vary", b"Accept-Encoding"))
    if _has(sent.get(b"if-none-match", b""), etag):
        await send({"type": "http.response.start", "status": 304, "headers": headers})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        return
    body = file.content
    if file.compressed is not None and _takes_gzip(sent.get(b"accept-encoding", b"")):
        body = file.compressed
        headers.append((b"content-encoding", b"gzip"))
    headers += [
        (b"content-type", file.content_type),
        (b"content-length", b"%d" % len(body)),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if scope["method"] == "HEAD":
        body = b""
    for start in range(0, max(len(body), 1), PIECE):
        piece, more = body[start : start + PIECE], start + PIECE < len(body)
        await send({"type": "http.response.body", "body": piece, "more_body": more})


def _takes_gzip(accept_encoding: bytes) -> bool:
    accepted = parse_accept_header(accept_encoding.decode("latin1"), Accept)
    return bool(accepted.quality("gzip") > 0)


def _caching(file: File, query: bytes) -> bytes:
    if file.version in parse_qs(query.decode("latin1")).get("v", ()):
        return b"public, max-age=%d, immutable" % YEAR
    return b"public, no-cache"


def _has(if_none_match: bytes, etag: bytes) -> bool:
    """Tell whether a client has what an ETag stands for; weak and strong ones are alike."""
    known = (each.strip().removeprefix(b"W/") for each in if_none_match.split(b","))
    return any(each in (b"*", etag.removeprefix(b"W/")) for each in known)
