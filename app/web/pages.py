"""The context of every template, and the urls and caching of static files."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Template
from jinja2.environment import TemplateModule
from jinja2.runtime import Context
from markupsafe import Markup
from quart import Quart, Response
from quart.globals import _cv_request
from werkzeug.exceptions import NotFound

from app.auth.sessions import recently_authenticated
from app.config import settings
from app.logs import request_id
from app.web import files, lists, menus
from app.web.access import declare, unidentified, unlimited
from app.web.destinations import home_url, sign_in_url
from app.web.identity import identity

ICON = Markup('<svg class="icon" aria-hidden="true"><use href="{}#{}"/></svg>')


class Page(Template):
    """A template that is rendered at once.

    Quart's own are coroutines, which wait for every call in them, to the same end: a template waits
    for nothing, since it shows what the view has loaded. It cannot call coroutine functions.
    """

    async def render_async(self, *args: Any, **values: Any) -> str:
        """Render it, for `quart.render_template`."""
        return self.render(*args, **values)

    async def generate_async(self, *args: Any, **values: Any) -> AsyncGenerator[str, object]:
        """Render it piece by piece, for `quart.stream_template`."""
        for piece in self.generate(*args, **values):
            yield piece

    def _get_default_module(self, ctx: Context | None = None) -> TemplateModule:
        # What is imported is not made anew for globals of a single template: there are none, but to
        # look for them takes longer than the rest of an import.
        return super()._get_default_module()


def init_app(app: Quart) -> None:
    """Register the context of templates, and serve static files by their content's hash."""
    app.jinja_env.is_async = False
    app.jinja_env.template_class = Page
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.context_processor(context)
    static = files.read(Path(str(app.static_folder)))

    paths = {name: f"/static/{quote(name)}?v={file.version}" for name, file in static.items()}

    def asset(filename: str) -> str:
        """Return the url of a static file, with its content's hash for caching."""
        context = _cv_request.get(None)
        return (context.request.root_path.rstrip("/") if context else "") + paths[filename]

    def icon(name: str) -> Markup:
        """Return one of the pictures in `icons.svg`. A macro would take three times as long."""
        return ICON.format(asset("icons.svg"), name)

    app.jinja_env.globals.update(
        asset=asset,
        icon=icon,
        menu=menus.links,
        here=lists.here,
        home_url=home_url,
        sign_in_url=sign_in_url,
    )

    async def no_such_file(filename: str) -> Response:
        raise NotFound

    files.serve(app, "/static/", lambda: static)
    app.view_functions["static"] = no_such_file
    declare(app, "static", unidentified, unlimited)
    app.after_request(cache)


async def cache(response: Response) -> Response:
    """Let caches keep nothing but what says that they may: static files do."""
    response.headers.setdefault("Cache-Control", "no-store")
    return response


async def context() -> dict[str, Any]:
    """Return the variables that every template may use."""
    # A coroutine function although it waits for nothing: others are run in a thread.
    who = identity()
    return {
        "app_name": settings.APP_NAME,
        "identity": who,
        "recently_authenticated": recently_authenticated(who),
        "request_id": request_id.get(),
    }
