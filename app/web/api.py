"""The JSON API: what its views declare beside their access, the specification, and CORS."""

from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, TypeVar

from pydantic import BaseModel
from quart import Blueprint, Quart, Response, current_app, request
from quart.globals import request_ctx
from quart_schema import QuartSchema
from quart_schema.typing import PydanticDumpOptions
from quart_schema.validation import (
    QUART_SCHEMA_QUERYSTRING_ATTRIBUTE,
    RequestSchemaValidationError,
)

from app.errors import DomainError
from app.preconditions import ANY, IfMatch, entity_tag
from app.validators import Nothing
from app.web.access import limit, public
from app.web.cross_site import cors_headers
from app.web.openapi.document import specification
from app.web.openapi.operations import RAISES, TAG, TAGGED, Tag

View = TypeVar("View", bound=Callable[..., Any])


def tag(blueprint: Blueprint, name: str, description: str) -> None:
    """Group the operations of a blueprint in the specification."""
    setattr(blueprint, TAG, Tag(name, description))


def raises(*errors: type[DomainError]) -> Callable[[View], View]:
    """Declare the errors of the domain that a view may answer, for the specification.

    Those that follow from its access, its path and its schemas need no declaration. Tests fail
    where an answer is not declared.
    """

    def mark(view: View) -> View:
        setattr(view, RAISES, errors)
        return view

    return mark


def with_etag(view: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Send an ETag with what the view returns, and declare that it heeds If-Match.

    Stands below `validate_response`. A view that changes something must pass `if_match()` on to its
    service: nothing does it for it, but a test notices.
    """

    @wraps(view)
    async def tagged(*args: Any, **values: Any) -> Any:
        answer = await view(*args, **values)
        shown, status = answer if isinstance(answer, tuple) else (answer, 200)
        if not isinstance(shown, BaseModel):
            return answer  # an empty one
        return shown, status, {"ETag": f'"{entity_tag(shown)}"'}

    setattr(tagged, TAGGED, True)
    return tagged


def if_match() -> IfMatch:
    """Return the condition of the request.

    Strips what proxies that compress add to our tags: `W/` before, or `-gzip` behind.
    """
    if "If-Match" not in request.headers:
        return ANY
    if request.if_match.star_tag:
        return IfMatch(exists=True)
    sent: set[str | None] = request.if_match.as_set(include_weak=True)  # type: ignore[assignment]  # `""` becomes None
    return IfMatch(frozenset(each.partition("-")[0] for each in sent if each))


def init_app(app: Quart) -> None:
    """Set up schemas, refuse unknown query parameters, serve /openapi.json, allow CORS_ORIGINS."""
    configured = app.extensions["settings"]
    QuartSchema(
        app,
        openapi_path=None,
        conversion_preference="pydantic",
        # Dates in ISO 8601: without this, Flask's provider writes them as HTTP dates.
        pydantic_dump_options=PydanticDumpOptions(mode="json"),  # type: ignore[typeddict-unknown-key]  # pydantic's own
    )
    app.before_request(refuse_unknown_parameters)
    app.add_url_rule("/openapi.json", "openapi", openapi)

    @app.after_request
    async def allow_origins(response: Response) -> Response:
        """Add the CORS headers that let pages of the listed origins read the API."""
        if configured.CORS_ORIGINS:
            origin = request.headers.get("Origin")
            response.headers.update(cors_headers(request.path, origin, configured))
        return response


async def refuse_unknown_parameters() -> None:
    """Refuse query parameters of operations that take none.

    `validate_querystring` refuses unknown ones of the others.
    """
    asked = request_ctx.request  # each use of the proxy costs a lookup
    if not asked.query_string or not asked.path.startswith("/api/"):
        return
    view = current_app.view_functions.get(str(asked.endpoint))
    if view is None or hasattr(view, QUART_SCHEMA_QUERYSTRING_ATTRIBUTE):
        return
    try:
        Nothing.model_validate(dict(asked.args))
    except ValueError as error:
        raise RequestSchemaValidationError(error) from None


@public
@limit("API_LIMIT")
async def openapi() -> Response:
    """Return the specification of the API."""
    written: str | None = current_app.extensions.get("openapi")
    if written is None:
        written = current_app.extensions["openapi"] = current_app.json.dumps(
            specification(current_app), sort_keys=False
        )
    return Response(written, content_type="application/json")
