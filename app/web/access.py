"""Who may use a route, and how often: declared on each view, enforced before it runs.

A route that declares no access or no limit is refused: forgetting one closes a door instead of
leaving it open.
"""

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from limits import parse
from quart import Quart, ResponseReturnValue, current_app, g, redirect, request, url_for, websocket

from app.auth.identity import ANONYMOUS
from app.auth.models import Permission
from app.auth.sessions import recently_authenticated
from app.config import Config, settings
from app.database import DATABASE_AWAY
from app.errors import DomainError
from app.limits import limits, rate_limit_ip
from app.web.cross_site import is_cross_site
from app.web.identity import client, identity, load_identity

logger = logging.getLogger(__name__)

View = TypeVar("View", bound=Callable[..., Any])

ACCESS, LIMIT = "_access", "_limit"

NOTHING = Permission(0)


class NotSignedIn(DomainError):
    """The route needs somebody; pages redirect to log in, the API answers 401."""

    code = "not-signed-in"
    status = 401


class Forbidden(DomainError):
    """The route is not for this person."""

    code = "forbidden"
    status = 403


class NotConfirmed(Forbidden):
    """The route is for those whose address is confirmed.

    Pages send others to `/account/unconfirmed`.
    """

    code = "not-confirmed"


class NotRecent(Forbidden):
    """The route wants the password to have been shown not long ago.

    Pages ask for it, then come back.
    """

    code = "reauthentication-required"


@dataclass(frozen=True, slots=True)
class Access:
    """Who may use a route.

    `identify` is off where not even the database may be asked: static files and probes.
    """

    name: str
    identify: bool = True
    unconfirmed_too: bool = False
    signed_in: bool = False
    anonymous_only: bool = False
    confirmed: bool = False
    recent: bool = False
    permission: Permission = NOTHING


def public(view: View) -> View:
    """Anybody may."""
    return _mark(view, ACCESS, Access("public"))


def unconfirmed_too(view: View) -> View:
    """Allow anybody, also people who have yet to confirm their address."""
    return _mark(view, ACCESS, Access("public, unconfirmed too", unconfirmed_too=True))


def unidentified(view: View) -> View:
    """Anybody may, and nobody is asked who they are: the view works without a database."""
    return _mark(view, ACCESS, Access("public, unidentified", identify=False))


def anonymous_only(view: View) -> View:
    """Only those who are not signed in; others are sent home."""
    return _mark(view, ACCESS, Access("anonymous", anonymous_only=True))


def signed_in(view: View) -> View:
    """Anybody who is signed in, confirmed or not."""
    return _mark(view, ACCESS, Access("signed in", signed_in=True))


def confirmed(view: View) -> View:
    """Anybody signed in whose address is confirmed."""
    return _mark(view, ACCESS, Access("confirmed", signed_in=True, confirmed=True))


def reauthenticated(view: View) -> View:
    """Anybody signed in who has shown their password not long ago.

    For what is sensitive and does not ask for it.
    """
    return _mark(view, ACCESS, Access("signed in, recently", signed_in=True, recent=True))


def requires(permission: Permission) -> Callable[[View], View]:
    """Only those whose role allows this."""
    access = Access(
        f"permission {permission.name}", signed_in=True, confirmed=True, permission=permission
    )
    return lambda view: _mark(view, ACCESS, access)


def limit(setting: str) -> Callable[[View], View]:
    """How often one person, or one address, may use it: the name of a setting, or a rule itself."""
    if setting.isupper() and setting not in Config.model_fields:
        raise ValueError(f"There is no setting {setting}.")
    if not setting.isupper():
        parse(setting)  # fails here rather than at the first request
    return lambda view: _mark(view, LIMIT, setting)


def unlimited(view: View) -> View:
    """As often as one likes: it costs next to nothing, or has limits of its own inside."""
    return _mark(view, LIMIT, "")


def declare(app: Quart, endpoint: str, *marks: Callable[[Any], Any]) -> None:
    """Declare a route that a library has registered.

    Its view may be a method, which carries no marks.
    """
    registered: Any = app.view_functions[endpoint]

    async def view(**values: Any) -> Any:
        return await registered(**values)

    for mark in marks:
        mark(view)
    app.view_functions[endpoint] = view


def declared(view: Callable[..., Any]) -> tuple[Access | None, str | None]:
    """The access and the limit that a view declares; `None` for what it does not."""
    return getattr(view, ACCESS, None), getattr(view, LIMIT, None)


def rule_of(declared_limit: str) -> str:
    """The rule behind a declared limit: the value of the setting it names."""
    return str(getattr(settings, declared_limit, declared_limit))


@dataclass(frozen=True, slots=True)
class SignInPages:
    """The endpoints of the pages through which somebody signs in, registered by a feature."""

    login: str
    logout: str
    register: str
    reauthenticate: str
    reset_password: str
    unconfirmed: str
    account: str
    password_strength: str


def set_sign_in_pages(app: Quart, pages: SignInPages) -> None:
    """Say where people are sent who have to sign in. One feature calls this."""
    app.extensions["sign_in_pages"] = pages


def sign_in_url(page: str, **values: Any) -> str:
    """Return the address of a page of `SignInPages`, by the name of its field."""
    return url_for(getattr(current_app.extensions["sign_in_pages"], page), **values)


def set_home(app: Quart, endpoint: str) -> None:
    """Say which page is the home page. Without one it is the page of one's account."""
    app.extensions["home"] = endpoint


def home_url() -> str:
    """Return the address of the home page."""
    endpoint = current_app.extensions.get("home")
    return url_for(endpoint) if endpoint else sign_in_url("account")


def init_app(app: Quart) -> None:
    """Put the guards before everything else."""
    app.before_request(guard)
    app.before_websocket(guard_websocket)


async def guard() -> ResponseReturnValue | None:
    """Refuse what comes from another site, then whoever may not use the route."""
    g.identity = ANONYMOUS
    if is_cross_site(request.method, request.path, request.headers, settings):
        raise Forbidden(
            "This request came from another site, so it was not carried out. Open the page here "
            "and try again."
        )
    if request.routing_exception is not None:
        # 404 and 405 say nothing that needs guarding, but their pages greet whoever is signed in,
        # if that can be known.
        await limits.hit("route", settings.PAGE_LIMIT, "PAGE_LIMIT", rate_limit_ip(client().ip))
        with suppress(*DATABASE_AWAY):
            await load_identity()
        return None
    request.scope["route"] = request.url_rule.rule if request.url_rule else None  # type: ignore[typeddict-unknown-key]
    view = current_app.view_functions[str(request.endpoint)]
    access, declared_limit = declared(view)
    if request.method == "OPTIONS" and access is not None:
        return None
    if access is None or declared_limit is None:
        logger.error("Route %s declares no access or no limit: it is refused", request.url_rule)
        raise Forbidden("This page is closed: it does not say who may use it, or how often.")
    if access.identify:
        await load_identity()
    if declared_limit:
        who = identity().user_id or rate_limit_ip(client().ip)
        await limits.hit("route", rule_of(declared_limit), declared_limit, who)
    return _admit(access)


def _admit(access: Access) -> ResponseReturnValue | None:
    who = identity()
    if access.anonymous_only and who.is_authenticated:
        return redirect(home_url(), 303)
    if access.signed_in and not who.is_authenticated:
        raise NotSignedIn("Log in to go on.")
    if who.is_authenticated and not who.confirmed:
        if request.path.startswith("/api/"):
            if access.confirmed:
                raise NotConfirmed(
                    "Confirm your e-mail address first: open the link that was mailed to you."
                )
        elif access.identify and not (access.unconfirmed_too or _is_about_accounts()):
            return redirect(sign_in_url("unconfirmed"), 303)
    if not who.can(access.permission):
        raise Forbidden("Your role does not allow this.")
    if access.recent and not recently_authenticated(who):
        raise NotRecent("Show your password once more first.")
    return None


def _is_about_accounts() -> bool:
    """Tell whether the page belongs to the feature that confirms addresses."""
    unconfirmed: str = current_app.extensions["sign_in_pages"].unconfirmed
    return request.blueprint == unconfirmed.partition(".")[0]


async def guard_websocket() -> None:
    """The same for websockets, which a browser lets every site open with the cookies of ours.

    The origin decides.
    """
    if websocket.routing_exception is not None:
        return
    access, declared_limit = declared(current_app.view_functions[str(websocket.endpoint)])
    if access is None or declared_limit is None:
        raise Forbidden("This websocket is closed: it does not say who may use it, or how often.")
    if websocket.headers.get("Origin") not in (None, settings.BASE_URL):
        raise Forbidden("This websocket was opened by another site.")
    if access.signed_in:
        raise Forbidden(
            "Nobody can be recognised on a websocket yet."
        )  # refused rather than let in unseen
    if declared_limit:
        await limits.hit(
            "route",
            rule_of(declared_limit),
            declared_limit,
            rate_limit_ip(websocket.remote_addr or ""),
        )


def _mark(view: View, name: str, value: object) -> View:
    setattr(view, name, value)
    return view
