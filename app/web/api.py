"""The API: its OpenAPI document, its documentation page, and CORS for listed origins."""

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from quart import Blueprint, Quart, Response, render_template, request
from quart_schema import HttpSecurityScheme, Info, QuartSchema
from quart_schema.openapi import APIKeySecurityScheme, OpenAPIProvider
from quart_schema.typing import PydanticDumpOptions
from swagger_ui_bundle import swagger_ui_path
from werkzeug.exceptions import NotFound
from werkzeug.routing import Rule

from app.web import files
from app.web.access import declare, declared, limit, public, unidentified, unlimited
from app.web.cross_site import cors_headers
from app.web.menus import add_entry

docs = Blueprint("docs", __name__)

# The document is the same for every installation, while the name of the cookie ends with the value
# of this setting, and begins with `__Host-` under https.
COOKIE = "session_INSTALLATION_ID"


class ApiOnly(OpenAPIProvider):
    """Describe the routes under /api/, not the pages."""

    def generate_rules(self) -> Iterable[Rule]:
        """Return the routes to describe."""
        return [rule for rule in super().generate_rules() if rule.rule.startswith("/api/")]

    def build_paths(self, rule: Rule) -> tuple[dict[str, Any], dict[str, Any]]:
        """Describe a route, with the ways to sign in where its access needs that."""
        paths, components = super().build_paths(rule)
        access, _ = declared(self._app.view_functions[rule.endpoint])
        if access and access.signed_in:
            for operation in (each for path in paths.values() for each in path.values()):
                operation["security"] = [{"bearer": []}, {"cookie": []}]
        return paths, components


def init_app(app: Quart) -> None:
    """Serve /openapi.json, and /docs from files of this server."""
    configured = app.extensions["settings"]
    QuartSchema(
        app,
        info=Info(title=configured.APP_NAME, version="1"),
        redoc_ui_path=None,
        scalar_ui_path=None,
        swagger_ui_path=None,
        openapi_provider_class=ApiOnly,
        conversion_preference="pydantic",
        # Dates in ISO 8601: without this, Flask's provider writes them as HTTP dates.
        pydantic_dump_options=PydanticDumpOptions(mode="json"),  # type: ignore[typeddict-unknown-key]  # pydantic's own
        security_schemes={
            "bearer": HttpSecurityScheme(scheme="bearer"),
            "cookie": APIKeySecurityScheme(in_="cookie", name=COOKIE),
        },
    )
    declare(app, "openapi", public, limit("API_LIMIT"))

    @app.after_request
    async def allow_origins(response: Response) -> Response:
        """Add the CORS headers that let pages of the listed origins read the API."""
        if configured.CORS_ORIGINS:
            origin = request.headers.get("Origin")
            response.headers.update(cors_headers(request.path, origin, configured))
        return response

    app.register_blueprint(docs)
    files.serve(app, "/docs/assets/", viewer)
    app.before_serving(load_viewer)
    add_entry(app, "main", "API", "docs.index", position=90)


@docs.get("/docs")
@public
@limit("PAGE_LIMIT")
async def index() -> str:
    """Show the API's documentation."""
    return await render_template("docs.html", viewer=viewer())


@docs.get("/docs/assets/<path:filename>")
@unidentified
@unlimited
async def assets(filename: str) -> Response:
    """Stand for Swagger UI's own files, of which there is none of this name."""
    raise NotFound


async def load_viewer() -> None:
    """Read and compress the viewer before the first request, which would wait for it."""
    viewer()


@cache
def viewer() -> dict[str, files.File]:
    """Return those files of Swagger UI that the page uses: it comes with many more."""
    return files.read(Path(swagger_ui_path), "swagger-ui.css") | files.read(
        Path(swagger_ui_path), "swagger-ui-bundle.js"
    )
