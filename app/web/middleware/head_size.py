"""Words for a request whose url or headers are too large: an ASGI layer."""

from hypercorn.typing import ASGIFramework, ASGIReceiveCallable, ASGISendCallable, Scope

from app.config import Config
from app.web.middleware.answers import answer

# Bytes. Hypercorn reads up to `h11_max_incomplete_size` (hypercorn.toml), so that what is between
# the two is answered here, and answers what is larger with a bare 431.
MAX_URL = 16 * 1024
MAX_HEADERS = 32 * 1024

URL = "The URL of this page is too long."
COOKIES = "Your browser sent too many cookies. Delete this site's cookies and try again."
HEADERS = "The headers of this request are too large."


class HeadSize:
    """Answer 414 to a url and 431 to headers that are too large, saying what to do.

    Without this, cookies that pile up make a site answer with an empty page, for as long as the
    browser keeps them.
    """

    def __init__(self, app: ASGIFramework, settings: Config) -> None:
        self.app = app

    async def __call__(
        self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        """Serve one request."""
        if scope["type"] == "http":
            if len(scope["raw_path"]) + len(scope["query_string"]) > MAX_URL:
                await answer(scope, send, 414, "URI Too Long", URL)
                return
            sizes = {
                is_cookie: sum(
                    len(name) + len(value) + 4
                    for name, value in scope["headers"]
                    if (name == b"cookie") == is_cookie
                )
                for is_cookie in (True, False)
            }
            if sum(sizes.values()) > MAX_HEADERS:
                words = COOKIES if sizes[True] >= sizes[False] else HEADERS
                await answer(scope, send, 431, "Request Header Fields Too Large", words)
                return
        await self.app(scope, receive, send)
