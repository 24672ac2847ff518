"""What people and programs are told when something goes wrong.

A page, or problem+json as RFC 9457 has it.
"""

import errno
import logging
from http import HTTPStatus
from typing import Any

from asyncpg import DataError as AsyncpgDataError
from pydantic import ValidationError
from quart import (
    Quart,
    Response,
    ResponseReturnValue,
    current_app,
    has_request_context,
    jsonify,
    redirect,
    render_template,
    request,
)
from quart_schema import RequestSchemaValidationError
from redis.exceptions import RedisError
from sqlalchemy.exc import DataError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolExhausted
from werkzeug.exceptions import HTTPException

from app.database import is_away
from app.errors import DomainError, NotReady
from app.logs import request_id
from app.web.access import NotRecent, NotSignedIn, sign_in_url

logger = logging.getLogger(__name__)

# What happened, and what to do, for errors that bring no words of their own.
WORDS = {
    400: (
        "This request could not be understood.",
        "Check the address or what was sent, and try again.",
    ),
    401: ("You are not logged in.", "Log in and try again."),
    403: ("You may not do this.", "If you think you should, ask an administrator."),
    404: ("There is no such page.", "Check the address, or start again from the home page."),
    405: (
        "This address does not take that kind of request.",
        "Go back and try again from the page itself.",
    ),
    408: ("The request took too long to arrive.", "Try again."),
    410: (
        "This is here no more.",
        "Perhaps everything is done already: log in and see. If you have no password yet, or have "
        "forgotten it, enter "
        "your address on the page to reset it, and you get a new mail.",
    ),
    413: ("What was sent is too large.", "Send less at once."),
    415: (
        "What was sent is of a kind that is not accepted here.",
        "Send JSON to the API, a form to a page.",
    ),
    422: ("Something in what was sent is not right.", "Correct what is named and try again."),
    429: ("That was too often.", "Wait a moment and try again."),
    500: (
        "Something went wrong here, and it was not your fault.",
        "Try again. If it keeps happening, tell us the number below.",
    ),
    503: ("We cannot answer at this moment.", "Try again in a few seconds."),
}

RETRY_SECONDS = 5


def init_app(app: Quart) -> None:
    """Map every error once."""
    app.register_error_handler(RequestSchemaValidationError, invalid_request)
    app.register_error_handler(DomainError, domain_error)
    app.register_error_handler(HTTPException, http_error)
    app.register_error_handler(DBAPIError, database_error)
    app.register_error_handler(OverflowError, unfit_value)
    app.register_error_handler(OSError, file_error)
    # Away or frozen, not wrong: builtin errors from connecting, SQLAlchemy's from an exhausted
    # pool, and Redis'.
    for away in (NotReady, ConnectionError, TimeoutError, PoolExhausted, RedisError):
        app.register_error_handler(away, service_away)


def wants_json() -> bool:
    """Whether a program asks: under /api/, or where it accepts JSON rather than pages."""
    kinds = ["text/html", "application/json", "application/problem+json"]
    return (
        request.path.startswith("/api/")
        or request.accept_mimetypes.best_match(kinds, kinds[0]) != kinds[0]
    )


async def answer(
    status: int,
    message: str | None = None,
    *,
    code: str | None = None,
    errors: list[dict[str, str]] | None = None,
    retry_after: int | None = None,
) -> Response:
    """An error, as a page or as a problem."""
    title = HTTPStatus(status).phrase
    if not has_request_context():
        return Response(title, status, content_type="text/plain")  # a websocket that is refused
    happened, hint = WORDS.get(status) or WORDS[400 if status < 500 else 500]
    if wants_json():
        problem: dict[str, Any] = {
            "type": "about:blank",
            "title": title,
            "status": status,
            "detail": message or happened,
            "code": code or title.lower().replace(" ", "-"),
            "request_id": request_id.get(),
        }
        response = jsonify({**problem, "errors": errors} if errors else problem)
        response.content_type = "application/problem+json"
    else:
        page = await render_template(
            "errors/error.html",
            status=status,
            title=title,
            message=message or happened,
            hint=hint,
        )
        response = await current_app.make_response(page)  # type: ignore[assignment]  # it is ours, not werkzeug's
    response.status_code = status
    if retry_after is not None:
        response.headers["Retry-After"] = str(retry_after)
    if status == 401 and wants_json():
        response.headers["WWW-Authenticate"] = "Bearer"
    response.headers["Cache-Control"] = "no-store"
    return response


async def domain_error(error: DomainError) -> ResponseReturnValue:
    """A rule says no."""
    if isinstance(error, NotSignedIn | NotRecent) and has_request_context() and not wants_json():
        target = request.full_path.rstrip("?") if request.method == "GET" else None
        page = "login" if isinstance(error, NotSignedIn) else "reauthenticate"
        return redirect(sign_in_url(page, next=target), 303)
    return await answer(
        error.status,
        error.message,
        code=error.code,
        errors=_field(error),
        retry_after=error.retry_after,
    )


async def invalid_request(error: RequestSchemaValidationError) -> Response:
    """What was sent does not fit its schema."""
    cause = error.validation_error
    errors = messages(cause) if isinstance(cause, ValidationError) else None
    return await answer(422, code="invalid", errors=errors)


async def http_error(error: HTTPException) -> ResponseReturnValue:
    """HTTP's own errors: 404, 405, 413, and the 500 that stands for whatever nobody expected."""
    if error.code is None or error.code < 400:
        return error.get_response()  # a redirect
    own_words = type(error).description != error.description and error.code != 500
    response = await answer(error.code, error.description if own_words else None)
    for name, value in error.get_headers():
        if name in ("Allow", "Retry-After"):
            response.headers[name] = value
    return response


async def database_error(error: DBAPIError) -> Response:
    """The database said no.

    Because of a value that fits no column, or because it is away, locked or overloaded.
    """
    if isinstance(error, DataError) or _is_data_error(error):
        return await unfit_value(error)
    if is_away(error):
        return await service_away(error)
    raise error


async def unfit_value(error: Exception) -> Response:
    """A value is beyond what the database stores; SQLite's driver says so with a builtin error."""
    return await answer(400, "A value that was sent cannot be stored.")


async def file_error(error: OSError) -> Response:
    """A path of a static file may be too long for the file system to look up."""
    if error.errno == errno.ENAMETOOLONG:
        return await answer(404)
    raise error


async def service_away(error: Exception) -> Response:
    """A service that the request needs does not answer."""
    words = str(error).splitlines()
    logger.error(
        "A service is away: %s: %s",
        type(error).__name__,
        words[0] if words else "no answer in time",
    )
    return await answer(503, retry_after=RETRY_SECONDS)


def messages(error: ValidationError) -> list[dict[str, str]]:
    """Each mistake as the field's name and a sentence, without the value: it may be a password."""
    return [
        {
            "field": ".".join(str(part) for part in mistake["loc"]),
            "message": in_words(mistake["type"], mistake),
        }
        for mistake in error.errors(include_url=False, include_input=False)
    ]


def in_words(kind: str, mistake: Any) -> str:
    """Pydantic's mistake as a sentence for people."""
    context = mistake.get("ctx", {})
    if kind in ("missing", "string_too_short", "too_short") and context.get("min_length", 1) == 1:
        return "This field is required."
    if kind in ("string_too_long", "too_long"):
        return f"Use at most {context['max_length']} characters."
    if kind in ("string_too_short", "too_short"):
        return f"Use at least {context['min_length']} characters."
    if kind == "extra_forbidden":
        return "There is no such field."
    message = str(mistake["msg"])
    return message if message.endswith(".") else f"{message}."


def _field(error: DomainError) -> list[dict[str, str]] | None:
    return [{"field": error.field, "message": error.message}] if error.field else None


def _is_data_error(error: DBAPIError) -> bool:
    cause: BaseException | None = error.orig
    while cause is not None:
        if isinstance(cause, AsyncpgDataError | UnicodeEncodeError):
            return True
        cause = cause.__cause__
    return False
