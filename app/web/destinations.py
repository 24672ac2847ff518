"""Where people are sent: to sign in, home, and after logging in."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from quart import Quart, current_app, url_for

from app.auth.identity import Identity
from app.auth.models import Permission


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
    change_password: str
    password_strength: str


@dataclass(frozen=True, slots=True)
class LandingPage:
    """A page that a role may land on, for those whose role has the permission."""

    label: str
    endpoint: str
    permission: Permission | str


def set_sign_in_pages(app: Quart, pages: SignInPages) -> None:
    """Register where people are redirected who have to sign in. One feature calls this."""
    if "sign_in_pages" in app.extensions:
        raise ValueError("Two features say which pages sign in.")
    app.extensions["sign_in_pages"] = pages


def sign_in_url(page: str, **values: Any) -> str:
    """Return the url of a page of `SignInPages`, by the name of its field."""
    return url_for(getattr(current_app.extensions["sign_in_pages"], page), **values)


def set_home(app: Quart, endpoint: str) -> None:
    """Register the home page. Without one, the account's page takes its place."""
    if "home" in app.extensions:
        raise ValueError("Two features say which page is the home page.")
    app.extensions["home"] = endpoint


def home_url() -> str:
    """Return the url of the home page."""
    endpoint = current_app.extensions.get("home")
    return url_for(endpoint) if endpoint else sign_in_url("account")


def add_landing_page(
    app: Quart,
    key: str,
    label: str,
    endpoint: str,
    permission: Permission | str = Permission.GENERAL,
) -> None:
    """Add a page that a role may land on after logging in. A feature calls this.

    `key` is what is stored with the role. Members who lack the permission land on the home page.
    """
    app.extensions["landing_pages"][key] = LandingPage(label, endpoint, permission)


def landing_pages() -> dict[str, str]:
    """Return the labels of the pages that a role may land on, by their keys."""
    found: dict[str, LandingPage] = current_app.extensions["landing_pages"]
    return {"main": "Home"} | {key: page.label for key, page in found.items()}


def landing_url(who: Identity) -> str:
    """Return the url of the page that a user lands on after logging in, by their role.

    Whoever must change their password lands on the page that does.
    """
    if who.must_change_password:
        return sign_in_url("change_password")
    found: dict[str, LandingPage] = current_app.extensions["landing_pages"]
    page = found.get(who.role_index)
    return url_for(page.endpoint) if page and who.can(page.permission) else home_url()


def safe_target(target: str | None, otherwise: str = "") -> str:
    """Return the path to go to: `target` if it is on this site, or another one, by default home.

    Browsers take `//host`, `/\\host` and URLs with control characters in them to other sites.
    """
    home = otherwise or home_url()
    if not target or not target.startswith("/") or any(ord(c) < 0x21 or c == "\\" for c in target):
        return home
    try:
        parts = urlsplit(target)
    except ValueError:
        return home
    return home if parts.scheme or parts.netloc or target.startswith("//") else target


def init_app(app: Quart) -> None:
    """Start without landing pages."""
    app.extensions["landing_pages"] = {}
