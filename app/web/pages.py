"""What every page shows around its content.

Navigation, the account menu, addresses of static files.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quart import Quart, Response, current_app, request, url_for

from app.accounts.identity import Identity
from app.accounts.sessions import is_recent
from app.config import settings
from app.logs import request_id
from app.web.access import declare, unidentified, unlimited
from app.web.identity import identity, is_from_this_machine

YEAR = 365 * 24 * 3600

ACCOUNT = (
    ("Account", "manage"),
    ("Password", "change_password"),
    ("E-mail", "change_email"),
    ("Sessions", "list_sessions"),
    ("Data", "delete_account"),
)


@dataclass(frozen=True, slots=True)
class Link:
    """An entry of a menu."""

    label: str
    url: str
    current: bool


def init_app(app: Quart) -> None:
    """Give templates their context, and static files their addresses."""
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.context_processor(context)
    app.extensions["versions"] = versions = file_versions(Path(str(app.static_folder)))

    def asset(filename: str) -> str:
        """The address of a static file, with its content's hash: it may be cached for ever."""
        return url_for("static", filename=filename, v=versions[filename])

    app.jinja_env.globals["asset"] = asset
    declare(app, "static", unidentified, unlimited)
    app.after_request(cache)


def file_versions(folder: Path) -> dict[str, str]:
    """For each file below a folder the beginning of its content's hash."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()[:12]
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


async def cache(response: Response) -> Response:
    """Static files asked for by their hash never change.

    Pages and API answers are nobody else's business.
    """
    current = current_app.extensions["versions"].get((request.view_args or {}).get("filename"))
    if (
        response.status_code < 400
        and request.endpoint == "static"
        and request.args.get("v") == current
    ):
        response.headers["Cache-Control"] = f"public, max-age={YEAR}, immutable"
    elif request.endpoint not in ("static", "docs_assets"):
        response.headers.setdefault("Cache-Control", "no-store")
    return response


def context() -> dict[str, Any]:
    """What every template may use."""
    who = identity()
    return {
        "app_name": settings.APP_NAME,
        "identity": who,
        "nav": navigation(who),
        "admin_nav": administration(who),
        "account_menu": [_link("Your account", "accounts.manage")] if who.is_authenticated else [],
        "account_nav": account_navigation,
        "is_recent": is_recent(who),
        "request_id": request_id.get(),
        "dev_mailbox": "mailbox" in current_app.blueprints and is_from_this_machine(),
    }


def navigation(who: Identity) -> list[Link]:
    """The links at the top."""
    links = [_link("Home", "site.home"), _link("API", "site.docs")]
    if who.is_admin:
        links.append(_link("Administration", "site.admin"))
    return links


def account_navigation() -> list[Link]:
    """The links beside the pages of one's account, for those pages alone."""
    return [_link(label, f"accounts.{page}") for label, page in ACCOUNT]


def administration(who: Identity) -> list[Link]:
    """The links beside administration's pages."""
    return [_link("Overview", "site.admin")] if who.is_admin else []


def _link(label: str, endpoint: str) -> Link:
    return Link(label, url_for(endpoint), request.endpoint == endpoint)
