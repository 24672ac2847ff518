"""Who may use a route, and how often: declared on each view, enforced before it runs.

A route that declares no access or no rate limit is refused, so forgetting one closes a route rather
than opening it.
"""

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from quart import Quart, ResponseReturnValue, current_app, g, redirect, request
from quart.globals import request_ctx

from app import trail
from app.auth.identity import ANONYMOUS
from app.auth.models import Permission, Purpose
from app.auth.scopes import InsufficientScope, InvalidToken, Scope, SessionRequired
from app.auth.sessions import recently_authenticated
from app.auth.tokens import purpose_of
from app.away import DATABASE_AWAY
from app.config import Config, settings
from app.errors import TooMany
from app.limits import limits, rate_limit_ip
from app.settings.types import is_rule
from app.validators.rate_rules import rate_rules
from app.web import refusals
from app.web.cross_site import SAFE_METHODS, is_cross_site
from app.web.destinations import safe_target, sign_in_url
from app.web.identity import bearer, identity, load_identity, origin
from app.web.rate_limit_headers import reporter

logger = logging.getLogger(__name__)

View = TypeVar("View", bound=Callable[..., Any])

ACCESS, LIMIT = "_access", "_limit"
FORM = "_form"  # marks the views of `web.forms.form`

NOTHING = Permission(0)


@dataclass(frozen=True, slots=True)
class Access:
    """Who may use a route. `identify` is off where the database may not be asked: static files."""

    name: str
    identify: bool = True
    unconfirmed_too: bool = False
    signed_in: bool = False
    anonymous_only: bool = False
    signs_in: bool = False
    confirmed: bool = False
    recent: bool = False
    session_only: bool = False
    before_password_change: bool = False
    permission: Permission | str = NOTHING


def public(view: View) -> View:
    """Allow anybody; those who have yet to confirm their email are sent to confirm it."""
    return _mark(view, ACCESS, Access("public"))


def unconfirmed_too(view: View) -> View:
    """Allow anybody, also those who have yet to confirm their email."""
    return _mark(view, ACCESS, Access("public, unconfirmed too", unconfirmed_too=True))


def unidentified(view: View) -> View:
    """Allow anybody without looking up who it is: the view works without a database."""
    return _mark(view, ACCESS, Access("public, unidentified", identify=False))


def anonymous_only(view: View) -> View:
    """Allow only those who are not signed in.

    Others are redirected to `next` or to the home page; a form that they post is answered with a
    page that says why nothing was done, and that logs out.
    """
    return _mark(view, ACCESS, Access("anonymous", anonymous_only=True))


def signs_in(view: View) -> View:
    """Treat like `anonymous_only`, but allow POST: the new session replaces the current one.

    The view says so when it changes who is signed in.
    """
    return _mark(view, ACCESS, Access("anonymous, or another account", signs_in=True))


def signed_in(view: View) -> View:
    """Allow anybody who is signed in, whether their email is confirmed or not."""
    return _mark(view, ACCESS, Access("signed in", signed_in=True))


def confirmed(view: View) -> View:
    """Allow anybody who is signed in and whose email is confirmed."""
    return _mark(view, ACCESS, Access("confirmed", signed_in=True, confirmed=True))


def reauthenticated(view: View) -> View:
    """Allow anybody who is signed in, in a session, and has re-authenticated recently.

    For sensitive actions that do not ask for the password themselves. May stand above `confirmed`.
    """
    access = declared(view)[0] or Access("signed in", signed_in=True)
    name = f"{access.name}, recently"
    return _mark(view, ACCESS, replace(access, name=name, recent=True, session_only=True))


def session_only(view: View) -> View:
    """Refuse API tokens, whatever their scopes are. Stands above another declaration."""
    access = _below(view)
    return _mark(view, ACCESS, replace(access, name=f"{access.name}, no tokens", session_only=True))


def before_password_change(view: View) -> View:
    """Allow those too who must choose a password first. Stands above another declaration."""
    return _mark(view, ACCESS, replace(_below(view), before_password_change=True))


def _below(view: Callable[..., Any]) -> Access:
    access, _ = declared(view)
    if access is None:
        raise ValueError("This decorator stands above the access that it changes.")
    return access


def requires(permission: Permission | str) -> Callable[[View], View]:
    """Allow only those whose role has this permission."""
    name = permission if isinstance(permission, str) else permission.name
    access = Access(f"permission {name}", signed_in=True, confirmed=True, permission=permission)
    return lambda view: _mark(view, ACCESS, access)


def limit(setting: str) -> Callable[[View], View]:
    """Rate limit a route per user, or per client ip: by a setting's name, or by a rule itself."""
    # Fails here rather than at the first request.
    if not setting.isupper():
        rate_rules(setting)
    elif (field := Config.model_fields.get(setting)) is None:
        raise ValueError(f"There is no setting {setting}.")
    elif not is_rule(field):
        raise ValueError(f"The setting {setting} is not a rate limit.")
    return lambda view: _mark(view, LIMIT, setting)


def unlimited(view: View) -> View:
    """Declare that a route needs no rate limit: it costs little, or counts limits of its own."""
    return _mark(view, LIMIT, "")


def declare(app: Quart, endpoint: str, *marks: Callable[[Any], Any]) -> None:
    """Declare the access and the limit of a route that a library has registered.

    Its view may be a method, which cannot carry attributes, so a function is put in its place.
    """
    registered: Any = app.view_functions[endpoint]

    async def view(**values: Any) -> Any:
        return await registered(**values)

    for mark in marks:
        mark(view)
    app.view_functions[endpoint] = view


def declared(view: Callable[..., Any]) -> tuple[Access | None, str | None]:
    """Return the access and the limit that a view declares, `None` for one that it does not."""
    return getattr(view, ACCESS, None), getattr(view, LIMIT, None)


def required_scopes(access: Access, method: str) -> tuple[str, ...]:
    """Return the scopes that an API token needs for a route; none lets it into `session_only`."""
    scopes = []
    if method not in SAFE_METHODS:
        scopes.append(Scope.WRITE)  # public routes too: some act for whoever is signed in
    elif access.signed_in:
        scopes.append(Scope.READ)
    if access.permission == Permission.ADMINISTER:
        scopes.append(Scope.ADMINISTER)
    return tuple(scopes)


def rule_of(declared_limit: str) -> str:
    """Return the rule of a declared limit: the value of the setting that it names, or itself."""
    return str(getattr(settings, declared_limit, declared_limit))


def init_app(app: Quart) -> None:
    """Run the guard before every request; that of websockets is in `app.web.websockets`."""
    app.before_request(guard)


async def guard() -> ResponseReturnValue | None:
    """Refuse requests that another site caused, then those that may not use the route."""
    asked, app = request_ctx.request, request_ctx.app  # each use of their proxies costs a lookup
    g.identity = ANONYMOUS
    trail.origin.set(origin)
    if is_cross_site(asked.method, asked.path, asked.headers, app.extensions["settings"]):
        raise refusals.Forbidden(
            "This request came from another site, so it was refused. Open the page here and try "
            "again."
        )
    if asked.routing_exception is not None:
        # 404 and 405 need no guarding, but their pages show who is signed in, if that can be known.
        ip = rate_limit_ip(asked.remote_addr or "")
        await limits.hit("route", settings.PAGE_LIMIT, "PAGE_LIMIT", ip, shared="requests")
        with suppress(*DATABASE_AWAY):
            await load_identity()
        return None
    asked.scope["route"] = asked.url_rule.rule if asked.url_rule else None  # type: ignore[typeddict-unknown-key]
    view = app.view_functions[str(asked.endpoint)]
    access, declared_limit = declared(view)
    if asked.method == "OPTIONS" and access is not None:
        return None
    if access is None or declared_limit is None:
        logger.error("Route %s declares no access or no limit: it is refused", asked.url_rule)
        raise refusals.Forbidden("This page is closed: it does not say for whom it is.")
    if access.identify:
        await load_identity()
    if declared_limit:
        await _count(declared_limit, is_form=hasattr(view, FORM))
    return _check(access)


async def _count(declared_limit: str, *, is_form: bool) -> None:
    who = identity().user_id
    key, shared = (who, "") if who else (rate_limit_ip(request.remote_addr or ""), "requests")
    rule, report = rule_of(declared_limit), reporter(declared_limit)
    try:
        await limits.hit("route", rule, declared_limit, key, shared=shared, report=report)
    except TooMany as error:
        if not (is_form and request.method == "POST"):
            raise
        g.refused = error  # the form shows it, and keeps what was typed


def _check(access: Access) -> ResponseReturnValue | None:
    who = identity()
    if who.purpose is Purpose.TOKEN:
        _check_token(access)
    if (access.anonymous_only or access.signs_in) and who.is_authenticated:
        if request.method in SAFE_METHODS:
            return redirect(safe_target(request.args.get("next")), 303)
        if access.signs_in:
            return None
        raise refusals.AlreadySignedIn(f"You are logged in as {who.email}, so this was not done.")
    if access.signed_in and not who.is_authenticated:
        if request.path.startswith("/api/") and (sent := bearer()):
            raise InvalidToken(is_whole=purpose_of(sent) is not None)
        raise refusals.NotSignedIn
    if who.is_authenticated and not who.confirmed:
        if request.path.startswith("/api/"):
            if access.confirmed:
                raise refusals.NotConfirmed
        elif access.identify and (
            access.confirmed or not (access.unconfirmed_too or _is_about_accounts())
        ):
            if request.method in SAFE_METHODS:
                return redirect(sign_in_url("unconfirmed"), 303)
            raise refusals.NotConfirmed("Confirm your email address first.")
    if who.must_change_password and access.signed_in and not access.before_password_change:
        if not request.path.startswith("/api/") and request.method in SAFE_METHODS:
            return redirect(sign_in_url("change_password"), 303)
        raise refusals.PasswordOutdated
    if not who.can(access.permission):
        is_token = who.purpose is Purpose.TOKEN
        raise refusals.Forbidden(
            f"Your role{', or this token,' if is_token else ''} does not allow this."
        )
    if access.recent and not recently_authenticated(who):
        raise refusals.NotRecent
    return None


def _check_token(access: Access) -> None:
    if access.session_only:
        raise SessionRequired
    needed = required_scopes(access, request.method)
    if not identity().scopes.issuperset(needed):
        raise InsufficientScope(needed)


def _is_about_accounts() -> bool:
    """Tell whether the page belongs to the feature that confirms addresses."""
    unconfirmed: str = current_app.extensions["sign_in_pages"].unconfirmed
    return request.blueprint == unconfirmed.partition(".")[0]


def _mark(view: View, name: str, value: object) -> View:
    setattr(view, name, value)
    return view
