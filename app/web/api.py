"""The API: its OpenAPI document, and CORS for listed origins."""

from collections.abc import Iterable
from typing import Any

from quart import Quart, Response, request
from quart_schema import HttpSecurityScheme, Info, QuartSchema
from quart_schema.openapi import APIKeySecurityScheme, OpenAPIProvider
from quart_schema.typing import PydanticDumpOptions
from werkzeug.routing import Rule

from app.web.access import declare, declared, limit, public
from app.web.cross_site import cors_headers

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
    """Serve /openapi.json."""
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
