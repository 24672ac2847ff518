"""The context of every template, and the urls and caching of static files."""

from pathlib import Path
from typing import Any

from quart import Quart, Response, url_for

from app.auth.sessions import recently_authenticated
from app.config import settings
from app.logs import request_id
from app.web import files, menus
from app.web.access import declare, home_url, sign_in_url, unidentified, unlimited
from app.web.identity import identity


def init_app(app: Quart) -> None:
    """Register the context of templates, and serve static files by their content's hash."""
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.context_processor(context)
    static = files.read(Path(str(app.static_folder)))

    def asset(filename: str) -> str:
        """Return the url of a static file, with its content's hash for caching."""
        return url_for("static", filename=filename, v=static[filename].version)

    app.jinja_env.globals.update(
        asset=asset, menu=menus.links, home_url=home_url, sign_in_url=sign_in_url
    )

    async def send_static(filename: str) -> Response:
        return await files.send(static, filename)

    app.view_functions["static"] = send_static
    declare(app, "static", unidentified, unlimited)
    app.after_request(cache)


async def cache(response: Response) -> Response:
    """Let caches keep nothing but what says that they may: static files do."""
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
