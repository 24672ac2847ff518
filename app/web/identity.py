"""Who is asking: read once a request, kept in `g`, handed to services as `actor`."""

import ipaddress
import logging
import re

from quart import Quart, after_this_request, g, request
from quart.typing import ResponseTypes
from sqlalchemy.exc import SQLAlchemyError

from app.auth import sessions
from app.auth.identity import ANONYMOUS, Client, Identity
from app.auth.models import Purpose
from app.config import Config, settings
from app.database import db

logger = logging.getLogger(__name__)

LOOPBACK_HOST = re.compile(r"(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?", re.IGNORECASE)
# What proxies add; one of these is enough to say that somebody else may be asking.
PROXY_HEADERS = (
    "x-forwarded",
    "forwarded",
    "via",
    "x-real-ip",
    "cf-",
    "true-client-ip",
    "x-client-ip",
    "x-cluster",
)


def init_app(app: Quart) -> None:
    """Configure Quart's own signed session: nothing but flashes is in it."""
    configured: Config = app.extensions["settings"]
    app.config.update(
        SESSION_COOKIE_NAME=cookie_name("flash", configured),
        SESSION_COOKIE_SECURE=configured.secure,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
    )


async def load_identity() -> None:
    """Find out who asks: by the bearer token if there is one, else by the session's cookie."""
    if secret := bearer():
        g.identity = await sessions.identify(secret, (Purpose.SESSION, Purpose.TOKEN))
    elif secret := cookie():
        g.identity = await sessions.identify(secret, (Purpose.SESSION,))
    else:
        return
    if sessions.wants_touch(g.identity):
        try:
            async with db.transaction() as session:
                await sessions.touch(session, g.identity)
            if g.identity.remember and secret == cookie():
                after_this_request(_renew_cookie)
        except (SQLAlchemyError, OSError):
            # The request does not depend on it, and the next one tries again.
            logger.warning("The last use of a session could not be noted", exc_info=True)


async def _renew_cookie(response: ResponseTypes) -> ResponseTypes:
    """Let a remembered cookie live as long as its session, from the last visit on."""
    if (secret := cookie()) and not any(
        c.startswith(f"{_cookie_name()}=") for c in response.headers.getlist("Set-Cookie")
    ):
        set_cookie(response, secret, remember=True)
    return response


def identity() -> Identity:
    """Who asks; `ANONYMOUS` as long as nobody has been recognised."""
    found: Identity = g.get(
        "identity", ANONYMOUS
    )  # error pages of a failed guard come before anybody is recognised
    return found


def client() -> Client:
    """Where the request comes from."""
    return Client(
        request.remote_addr or "", request.headers.get("User-Agent", ""), is_from_this_machine()
    )


def is_from_this_machine() -> bool:
    """Whether a person at this very machine asks.

    A loopback peer, a loopback Host and no proxy in between.
    """
    through_proxy = any(name.lower().startswith(PROXY_HEADERS) for name, _ in request.headers)
    return (
        not through_proxy
        and _is_loopback(request.remote_addr or "")
        and LOOPBACK_HOST.fullmatch(request.headers.get("Host", "")) is not None
    )


def bearer() -> str | None:
    """The secret in `Authorization: Bearer …`."""
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    return secret.strip() or None if scheme.lower() == "bearer" else None


def cookie() -> str | None:
    """The secret in the session's cookie."""
    return request.cookies.get(_cookie_name()) or None


def shown_secrets() -> list[str]:
    """Every secret that the request carries: logging out ends them all."""
    return [secret for secret in (bearer(), cookie()) if secret]


def set_cookie(response: ResponseTypes, secret: str, *, remember: bool) -> None:
    """Give the browser a session.

    Without "keep me logged in" the cookie goes when the browser closes.
    """
    response.set_cookie(
        _cookie_name(),
        secret,
        max_age=settings.SESSION_IDLE_REMEMBERED if remember else None,
        secure=settings.secure,
        httponly=True,
        samesite="Lax",
    )


def delete_cookie(response: ResponseTypes) -> None:
    """Make the browser forget its session."""
    response.delete_cookie(_cookie_name(), secure=settings.secure, httponly=True, samesite="Lax")


def cookie_name(name: str, configured: Config) -> str:
    """A cookie's name.

    `__Host-` makes a browser refuse it from anything but this very host over https.
    """
    return f"__Host-{name}" if configured.secure else name


def _cookie_name() -> str:
    return cookie_name("session", settings)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
