"""The client's ip and scheme behind proxies: an ASGI layer."""

from collections.abc import Callable
from typing import Any

from hypercorn.typing import ASGIFramework, ASGIReceiveCallable, ASGISendCallable, Scope

from app.config import Config
from app.limits import UNKNOWN_IP
from app.web.middleware import sightings as seen
from app.web.middleware.forwarded import (
    entry,
    forwarded,
    parse_ip,
    parse_scheme,
    proxy_headers,
    values,
)
from app.web.middleware.headers import PROBES
from app.web.middleware.sightings import Sightings

SECURE = ("https", "wss")
# This many requests in a row through more proxies than are trusted are not a client's doing.
IN_A_ROW = 20
# What X-Forwarded-* and Forwarded both say.
COMPARED: tuple[tuple[str, Callable[[str], str | None]], ...] = (
    ("for", parse_ip),
    ("proto", parse_scheme),
)


class TrustedProxies:
    """Take ip and scheme from X-Forwarded-For and -Proto, behind TRUSTED_PROXIES proxies.

    Each proxy appends the ip that called it. So with n proxies the nth entry from the right was
    written by the outermost one, and everything to the left of it may be forged. `Forwarded`
    (RFC 7239) is read only if neither header came. An ip that is missing or unreadable is
    `UNKNOWN_IP`, never the proxy's own.

    Tells `Sightings` what is wrong, and later layers by `scope["proxy_headers"]` what the proxies
    sent and by `scope["scheme_known"]` whether the scheme is theirs. Probes are not judged: they
    come from inside the network.
    """

    def __init__(self, app: ASGIFramework, settings: Config, sightings: Sightings) -> None:
        self.app = app
        self.proxies = settings.TRUSTED_PROXIES
        self.secure = settings.secure
        self.sightings = sightings
        self._longer = 0

    async def __call__(
        self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        """Serve one request."""
        if scope["type"] in ("http", "websocket"):
            self._read(scope)
        await self.app(scope, receive, send)

    def _read(self, scope: Any) -> None:
        headers = scope["proxy_headers"] = proxy_headers(scope)
        scope["peer"] = (scope.get("client") or ("a Unix socket",))[0]
        found: list[seen.Sign | str | None] = []
        if self.proxies:
            ips, schemes = _entries(headers)
            found += [self._ip(scope, ips), self._scheme(scope, schemes)]
            found += [self._hops(len(ips)), self._other(scope)]
        elif headers:
            found.append(seen.NOT_TRUSTED)
        scope.setdefault("scheme_known", scope["scheme"] in SECURE)
        if scope["path"] in PROBES:
            return
        for sign in found:
            if isinstance(sign, seen.Sign):
                self.sightings.report(sign, _arrived(scope, self.proxies))
        good = [sign for sign in found if isinstance(sign, str)]
        if scope["scheme"] in SECURE:
            good.append(seen.HTTPS)
        self.sightings.note(good)

    def _ip(self, scope: Any, ips: list[str]) -> seen.Sign | str:
        written = entry(ips, self.proxies)
        ip = parse_ip(written) if written else None
        scope["client"] = (ip or UNKNOWN_IP, 0)
        if ip:
            return seen.IP
        return seen.NO_IP if written is None else seen.UNREADABLE_IP

    def _scheme(self, scope: Any, schemes: list[str]) -> seen.Sign | str | None:
        written = entry(schemes, self.proxies)
        if scheme := parse_scheme(written or ""):
            websocket = scope["type"] == "websocket"
            scope["scheme"] = scheme.replace("http", "ws") if websocket else scheme
            scope["scheme_known"] = True
            return seen.SCHEME
        if scope["scheme"] in SECURE or not self.secure:
            return None
        return seen.NO_SCHEME if written is None else seen.UNREADABLE_SCHEME

    def _hops(self, hops: int) -> seen.Sign | str | None:
        self._longer = self._longer + 1 if hops > self.proxies else 0
        if 0 < hops < self.proxies:
            return seen.FEW_HOPS
        if self._longer >= IN_A_ROW:
            return seen.MANY_HOPS
        return seen.HOPS if hops == self.proxies else None

    def _other(self, scope: Any) -> seen.Sign | None:
        headers = scope["proxy_headers"]
        if any(prefix.strip("/") for prefix in values(headers, "x-forwarded-prefix")):
            return seen.PREFIX
        if scope["scheme"] in SECURE and not self.secure:
            return seen.HTTPS_OUTSIDE
        for name, parse in COMPARED if "forwarded" in headers else ():
            ours = entry(values(headers, f"x-forwarded-{name}"), self.proxies)
            theirs = entry(forwarded(headers, name), self.proxies)
            if ours and theirs and parse(ours) != parse(theirs):
                return seen.DISAGREE
        return None


def _entries(headers: dict[str, str]) -> tuple[list[str], list[str]]:
    """Return the entries of X-Forwarded-For and -Proto; if there are none, those of `Forwarded`."""
    ips, schemes = values(headers, "x-forwarded-for"), values(headers, "x-forwarded-proto")
    if ips or schemes or "forwarded" not in headers:
        return ips, schemes
    return forwarded(headers, "for"), forwarded(headers, "proto")


def _arrived(scope: Any, proxies: int) -> str:
    """Say what came, in words for the log: names of headers, and what a trusted proxy wrote."""
    names = ", ".join(sorted(scope["proxy_headers"])[:10]) or "no header of a proxy"
    text = f"from {scope['peer']} with {names}"
    if proxies:
        for name, entries in zip(("for", "proto"), _entries(scope["proxy_headers"]), strict=True):
            if written := entry(entries, proxies):
                text += f", where the outermost proxy's {name} is {written[:40]!r}"
    return text
