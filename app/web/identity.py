"""Who is asking: looked up once per request, kept in `g`, passed to services as `actor`."""

import ipaddress
import logging
import re
from dataclasses import replace

from itsdangerous import URLSafeTimedSerializer
from quart import Quart, after_this_request, g, request
from quart.sessions import SecureCookieSession, SecureCookieSessionInterface, SessionMixin
from quart.typing import ResponseTypes
from quart.wrappers import BaseRequestWebsocket

from app.auth import sessions
from app.auth.identity import ANONYMOUS, Client, Identity
from app.auth.models import Purpose
from app.auth.tokens import SECRET, new_secret, purpose_of
from app.away import DATABASE_AWAY
from app.config import Config, settings
from app.database import db
from app.trail import Origin
from app.web.middleware.forwarded import proxy_headers

logger = logging.getLogger(__name__)

LOOPBACK_HOST = re.compile(r"(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?", re.IGNORECASE)


class FlashCookie(SecureCookieSessionInterface):
    """Quart's own session, which costs nothing where it is not used: in most requests."""

    _made: URLSafeTimedSerializer | None = None

    def get_signing_serializer(self, app: Quart) -> URLSafeTimedSerializer | None:
        """Return what signs and verifies the cookie, made once."""
        if self._made is None:
            self._made = super().get_signing_serializer(app)
        return self._made

    async def open_session(
        self, app: Quart, request: BaseRequestWebsocket
    ) -> SecureCookieSession | None:
        """Return what the cookie holds."""
        if "Cookie" not in request.headers:
            return self.session_class()
        return await super().open_session(app, request)

    async def save_session(
        self, app: Quart, session: SessionMixin, response: ResponseTypes | None
    ) -> None:
        """Set the cookie, if what it holds was looked at or changed."""
        if session or session.accessed or session.modified:
            await super().save_session(app, session, response)


def init_app(app: Quart) -> None:
    """Configure Quart's own session: a cookie that is signed, not encrypted.

    It holds flashed messages and, for an hour, what was typed into a form (`app.web.kept`).
    """
    configured: Config = app.extensions["settings"]
    app.session_interface = FlashCookie()
    app.config.update(
        SESSION_COOKIE_NAME=cookie_name("flash", configured),
        SESSION_COOKIE_SECURE=configured.secure,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
    )


async def load_identity() -> None:
    """Look up who is asking: by the bearer token if there is one, else by the session's cookie.

    API tokens are for the API: on pages they are nobody's.
    """
    purpose: Purpose | None = Purpose.SESSION
    if secret := bearer():
        purpose = purpose_of(secret)
        if purpose is Purpose.TOKEN and not request.path.startswith("/api/"):
            return
    else:
        secret = cookie()
    if secret is None or purpose is None:
        return
    g.identity = await sessions.identify(secret, (purpose,))
    if sessions.wants_touch(g.identity):
        try:
            async with db.transaction() as session:
                await sessions.touch(session, g.identity, client())
            if g.identity.remember and secret == cookie():
                after_this_request(_renew_cookie)
        except DATABASE_AWAY:
            # The request does not depend on it, and the next one tries again.
            logger.warning("The last use of a session could not be stored", exc_info=True)


async def _renew_cookie(response: ResponseTypes) -> ResponseTypes:
    """Extend a remembered cookie, so that it lives as long as its session."""
    if (secret := cookie()) and not any(
        c.startswith(f"{_cookie_name()}=") for c in response.headers.getlist("Set-Cookie")
    ):
        set_cookie(response, secret, remember=True)
    return response


def identity() -> Identity:
    """Return who is asking, `ANONYMOUS` until that has been looked up."""
    # The error page of a failed guard is rendered before the lookup.
    found: Identity = g.get("identity", ANONYMOUS)
    return found


def origin() -> Origin:
    """Return who acts in this request and from where, for the trail."""
    who = identity()
    kind = "visitor"
    if who.is_authenticated:
        kind = "token" if who.purpose is Purpose.TOKEN else "user"
    return Origin(
        kind,
        via=str(who.credential_id or ""),
        user_id=who.user_id,
        name=who.full_name,
        email=who.email,
        ip=request.remote_addr or "",
        agent=request.headers.get("User-Agent", "")[:255],
    )


def client() -> Client:
    """Return where the request comes from."""
    return Client(
        request.remote_addr or "",
        request.headers.get("User-Agent", ""),
        is_from_this_machine(),
        _device_cookie(),
    )


def client_to_remember() -> Client:
    """Return where the request comes from, and give a browser without a device cookie one.

    Whether the cookie is sent tells nothing about an account: it depends on the request alone.
    """
    device = _device_cookie() or new_secret()

    @after_this_request
    async def with_cookie(response: ResponseTypes) -> ResponseTypes:
        _set_cookie(response, cookie_name("device", settings), device, settings.DEVICE_LIFETIME)
        return response

    return replace(client(), device=device)


def _device_cookie() -> str:
    """Return the secret in the device cookie, or "" if there is none, or none of ours."""
    sent = request.cookies.get(cookie_name("device", settings), "")
    return sent if SECRET.fullmatch(sent) else ""


def is_from_this_machine() -> bool:
    """Tell whether the request comes from this machine.

    Its ip and its Host are loopback addresses, and no proxy is in between. A proxy that adds no
    header sends its own Host and, as nginx does by default, HTTP/1.0, which no browser speaks.
    """
    return (
        not proxy_headers(request.scope)
        and request.http_version != "1.0"
        and _is_loopback(request.remote_addr or "")
        and LOOPBACK_HOST.fullmatch(request.headers.get("Host", "")) is not None
    )


def bearer() -> str | None:
    """Return the secret in `Authorization: Bearer …`."""
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    return secret.strip() or None if scheme.lower() == "bearer" else None


def cookie() -> str | None:
    """Return the secret in the session's cookie."""
    return request.cookies.get(_cookie_name()) or None


def shown_secrets() -> list[str]:
    """Return every secret in the request: logging out revokes them all."""
    return [secret for secret in (bearer(), cookie()) if secret]


def set_cookie(response: ResponseTypes, secret: str, *, remember: bool) -> None:
    """Set the session's cookie. Without `remember` it ends when the browser is closed."""
    seconds = settings.SESSION_IDLE_REMEMBERED if remember else None
    _set_cookie(response, _cookie_name(), secret, seconds)


def _set_cookie(response: ResponseTypes, name: str, secret: str, max_age: int | None) -> None:
    response.set_cookie(
        name, secret, max_age=max_age, secure=settings.secure, httponly=True, samesite="Lax"
    )


def delete_cookie(response: ResponseTypes) -> None:
    """Delete the session's cookie."""
    response.delete_cookie(_cookie_name(), secure=settings.secure, httponly=True, samesite="Lax")


def cookie_name(name: str, configured: Config) -> str:
    """Return a cookie's full name, which ends with the installation's.

    Browsers send cookies to every port of a host, so a plain name would be shared with other
    applications on localhost. Under https it begins with `__Host-`, so that browsers take it from
    this host alone.
    """
    prefix = "__Host-" if configured.secure else ""
    return f"{prefix}{name}_{configured.INSTALLATION_ID}"


def _cookie_name() -> str:
    return cookie_name("session", settings)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
