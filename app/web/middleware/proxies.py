"""The client's ip and scheme behind proxies: an ASGI layer."""

import ipaddress
import logging
from typing import Any

from hypercorn.typing import ASGIFramework, ASGIReceiveCallable, ASGISendCallable, Scope

from app.config import Config

logger = logging.getLogger(__name__)


class TrustedProxies:
    """Take ip and scheme from X-Forwarded-For and -Proto, behind so many trusted proxies.

    Each proxy appends the ip that called it. So with n proxies the nth entry from the right was
    written by the outermost one, and everything to the left of it may be forged.
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
                    "A request has X-Forwarded-For, which is ignored, so all clients may appear "
                    "to have one ip. If this server is behind proxies, set TRUSTED_PROXIES to "
                    "their number."
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
