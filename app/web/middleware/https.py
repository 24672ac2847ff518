"""The redirect from http to https, without redirect loops: an ASGI layer."""

import re
import time
from collections import Counter
from typing import Any

from hypercorn.typing import ASGIFramework, ASGIReceiveCallable, ASGISendCallable, Scope

from app.config import Config
from app.web.middleware.answers import answer
from app.web.middleware.headers import PROBES
from app.web.middleware.sightings import LOOP, Sightings

# Redirects of one client from one URL, and the seconds in which they are counted; browsers give up
# after 20. Any request that arrives as https resets the count.
REDIRECTS, WITHIN = 10, 10.0
REMEMBERED = 1000

# Browsers send Sec-Fetch-* to https and, since it is as safe, to this machine.
LOOPBACK = re.compile(
    rb"([a-z0-9.-]+\.)?localhost(:\d+)?|127\.[\d.]+(:\d+)?|\[::1\](:\d+)?", re.IGNORECASE
)

# What is wrong, for the operator.
NOT_TRUSTED = (
    "requests come through a reverse proxy, but TRUSTED_PROXIES is 0. Set it to the number of "
    "proxies, and let them send X-Forwarded-For and X-Forwarded-Proto."
)
SILENT = (
    "this site's proxy does not say whether the browser used http or https. Let it send "
    "X-Forwarded-Proto, and set TRUSTED_PROXIES to the number of proxies."
)
WRONG = (
    "this site's proxy says http although the redirect to https was followed. Let the proxy that "
    "ends TLS send X-Forwarded-Proto: https, and those behind it pass it on unchanged."
)
TITLE = "Not set up completely"
PERSON = "This site is not set up completely, so this page cannot be shown. It is not your fault."
MORE = "The server's log and the command manage.py check say more; docs/deploying.md has examples."


class HttpsRedirect:
    """Redirect http to BASE_URL if that is https. Runs inside of `TrustedProxies`, `OneSpelling`.

    Redirecting a browser that uses https already would never end. So an error that explains what to
    set is sent instead where a proxy does not say which of the two the browser used, and where what
    it says must be wrong: browsers send Sec-Fetch-* by https only, and nobody follows a redirect
    again and again who has arrived.
    """

    def __init__(self, app: ASGIFramework, settings: Config, sightings: Sightings) -> None:
        self.app = app
        self.base_url = settings.BASE_URL.encode() if settings.secure else None
        self.proxies = settings.TRUSTED_PROXIES
        self.sightings = sightings
        self._redirected: Counter[Any] = Counter()
        self._since = 0.0

    async def __call__(
        self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        """Serve one request."""
        if scope["type"] == "http" and scope["scheme"] == "https":
            self._redirected.clear()  # https arrives as such, so there is no loop
        if (
            not self.base_url
            or scope["type"] != "http"
            or scope["scheme"] == "https"
            or scope["path"] in PROBES
        ):
            await self.app(scope, receive, send)
        elif why := self._why_not(scope):
            # Not 502 or 504, which some proxies answer with pages of their own.
            await answer(scope, send, 500, TITLE, PERSON, f"For the operator: {why} {MORE}")
        else:
            await self._redirect(scope, send, self.base_url)

    def _why_not(self, scope: Any) -> str | None:
        through_proxy = scope["proxy_headers"] or (self.proxies and scope["http_version"] == "1.0")
        if through_proxy and not scope["scheme_known"]:
            return SILENT if self.proxies else NOT_TRUSTED
        if self._speaks_https(scope) or self._repeats(scope):
            self.sightings.report(LOOP, f"from {scope['peer']}")
            return WRONG if scope["scheme_known"] else SILENT
        return None

    def _speaks_https(self, scope: Any) -> bool:
        headers = dict(scope["headers"])
        local = LOOPBACK.fullmatch(headers.get(b"host", b""))
        return not local and b"sec-fetch-mode" in headers

    def _repeats(self, scope: Any) -> bool:
        now = time.monotonic()
        if now - self._since > WITHIN or len(self._redirected) > REMEMBERED:
            self._redirected.clear()
            self._since = now
        agent = dict(scope["headers"]).get(b"user-agent")
        ip = (scope.get("client") or ("",))[0]
        key = (ip, agent, scope["raw_path"], scope["query_string"])
        self._redirected[key] += 1
        return self._redirected[key] > REDIRECTS

    async def _redirect(self, scope: Any, send: Any, base_url: bytes) -> None:
        query = b"?" + scope["query_string"] if scope["query_string"] else b""
        headers = [(b"location", base_url + scope["raw_path"] + query), (b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 308, "headers": headers})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
