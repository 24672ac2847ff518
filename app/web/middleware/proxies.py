"""Which address a request came from, when proxies stand in between."""

import ipaddress
import logging
from typing import Any

from hypercorn.typing import ASGIFramework, ASGIReceiveCallable, ASGISendCallable, Scope

from app.config import Config

logger = logging.getLogger(__name__)


class TrustedProxies:
    """ASGI layer.

    Believes X-Forwarded-For and -Proto as far as the configured number of proxies reaches.

    Each proxy appends the address it was called from, so the nth entry from the right was written
    by the outermost trusted one; everything to the left of it may be made up.
    """

    def __init__(self, app: ASGIFramework, settings: Config) -> None:
        self.app = app
        self.proxies = settings.TRUSTED_PROXIES
        self.warned = False

    async def __call__(
        self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        """Serve one request."""
        if scope["type"] in ("http", "websocket"):
            forwarded = _values(scope, b"x-forwarded-for")
            if self.proxies:
                self._believe(scope, forwarded)
            elif forwarded and not self.warned:
                self.warned = True
                logger.error(
                    "A request carries X-Forwarded-For, which is not believed: everybody seems to "
                    "have one address. "
                    "If a proxy of yours stands in front, set TRUSTED_PROXIES to the number of "
                    "proxies."
                )
        await self.app(scope, receive, send)

    def _believe(self, scope: Any, forwarded: list[str]) -> None:
        schemes = _values(scope, b"x-forwarded-proto")
        if len(forwarded) >= self.proxies and (address := _address(forwarded[-self.proxies])):
            scope["client"] = (address, 0)
        if schemes and schemes[-min(self.proxies, len(schemes))] in ("http", "https"):
            scope["scheme"] = schemes[-min(self.proxies, len(schemes))]


def _values(scope: Any, header: bytes) -> list[str]:
    lines = [value.decode("latin1") for name, value in scope["headers"] if name == header]
    return [part.strip() for part in ",".join(lines).split(",") if part.strip()]


def _address(text: str) -> str | None:
    host = text.strip("[]") if text.count(":") != 1 else text.split(":")[0]
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return None
