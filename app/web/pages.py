"""The context of every template, and the urls and caching of static files."""

import hashlib
from pathlib import Path
from typing import Any

from quart import Quart, Response, current_app, request, url_for

from app.auth.sessions import recently_authenticated
from app.config import settings
from app.logs import request_id
from app.web import menus
from app.web.access import declare, home_url, sign_in_url, unidentified, unlimited
from app.web.identity import identity

YEAR = 365 * 24 * 3600


def init_app(app: Quart) -> None:
    """Register the context of templates, and serve static files by their content's hash."""
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.context_processor(context)
    app.extensions["versions"] = versions = file_versions(Path(str(app.static_folder)))

    def asset(filename: str) -> str:
        """Return the url of a static file, with its content's hash for caching."""
        return url_for("static", filename=filename, v=versions[filename])

    app.jinja_env.globals.update(
        asset=asset, menu=menus.links, home_url=home_url, sign_in_url=sign_in_url
    )
    declare(app, "static", unidentified, unlimited)
    app.after_request(cache)


def file_versions(folder: Path) -> dict[str, str]:
    """Return the beginning of the content's hash of each file below a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()[:12]
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


async def cache(response: Response) -> Response:
    """Let caches keep static files that are requested by their hash, and nothing else."""
    current = current_app.extensions["versions"].get((request.view_args or {}).get("filename"))
    if (
        response.status_code < 400
        and request.endpoint == "static"
        and request.args.get("v") == current
    ):
        response.headers["Cache-Control"] = f"public, max-age={YEAR}, immutable"
    elif request.endpoint != "static":
        response.headers.setdefault("Cache-Control", "no-store")
    return response


def context() -> dict[str, Any]:
    """Return the variables that every template may use."""
    who = identity()
    return {
        "app_name": settings.APP_NAME,
        "identity": who,
        "recently_authenticated": recently_authenticated(who),
        "request_id": request_id.get(),
    }
