"""One spelling for each path, so that nobody gets past a proxy's rule for it: an ASGI layer."""

import re
from typing import Any
from urllib.parse import unquote

from hypercorn.typing import ASGIFramework, ASGIReceiveCallable, ASGISendCallable, Scope

from app.config import Config
from app.patches.hypercorn_framing import HOST
from app.web.middleware.answers import answer

ABSOLUTE = re.compile(rb"https?://(?P<host>[^/]+)(?P<path>.*)", re.IGNORECASE)

# In a path as it was sent: empty and dot segments; encoded letters, digits and `-._~`, which no
# client encodes; slashes and backslashes that are part of a segment; blanks, control characters and
# bytes that have to be encoded.
OTHER_SPELLING = re.compile(
    rb"""
      //
    | /\.\.? (?: / | $ )
    | % (?: [01]. | 2[def] | 3[0-9] | 4[1-9a-f] | 5[0-9acf] | 6[1-9a-f] | 7[0-9aef] )
    | [\\\x00-\x20\x7f-\xff]
    """,
    re.IGNORECASE | re.VERBOSE,
)

NO_PATH = "This request names no path of this site."
NOT_FOUND = "This page does not exist. Check the URL, or start from the home page."


class OneSpelling:
    """Answer 404 to every spelling of a path but the one that this site uses itself.

    A proxy may have a rule for `/account` and compare it with the path as it arrived, or after
    decoding it, or after removing empty and dot segments. The application decodes it, and its
    routes ignore slashes in front. With one spelling all of them see the same path.

    An absolute request target, as clients send to a proxy, becomes its path and the `Host` that it
    names (RFC 9112, 3.2.2). Everything else without a path is answered with 400.
    """

    def __init__(self, app: ASGIFramework, settings: Config) -> None:
        self.app = app

    async def __call__(
        self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        """Serve one request."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        _make_relative(scope)
        if not scope["raw_path"].startswith(b"/"):
            await answer(scope, send, 400, "Bad Request", NO_PATH)
        elif OTHER_SPELLING.search(scope["raw_path"]):
            await answer(scope, send, 404, "Not Found", NOT_FOUND)
        else:
            await self.app(scope, receive, send)


def _make_relative(scope: Any) -> None:
    """Take an absolute request target of HTTP/1 apart. HTTP/2 has none."""
    found = ABSOLUTE.fullmatch(scope["raw_path"])
    if found and scope["http_version"] < "2" and HOST.fullmatch(found["host"]):
        scope["raw_path"] = found["path"] or b"/"
        scope["path"] = unquote(scope["raw_path"].decode("ascii"))
        others = [header for header in scope["headers"] if header[0] != b"host"]
        scope["headers"] = [(b"host", found["host"]), *others]
