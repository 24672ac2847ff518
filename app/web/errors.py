"""Map every error to a response: a page for people, problem+json (RFC 9457) for programs."""

import errno
import logging
from typing import Any

from asyncpg import DataError as AsyncpgDataError
from pydantic import ValidationError
from quart import (
    Quart,
    Response,
    ResponseReturnValue,
    current_app,
    flash,
    g,
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

from app.away import is_away, is_outdated
from app.errors import DomainError, NotReady
from app.logs import request_id
from app.validators import LARGEST_ID
from app.validators.mistakes import messages
from app.web import kept
from app.web.cross_site import SAFE_METHODS
from app.web.destinations import sign_in_url
from app.web.identity import cookie
from app.web.problems import code_of, title_of, words_of
from app.web.refusals import NotConfirmed, NotRecent, NotSignedIn

logger = logging.getLogger(__name__)

RETRY_SECONDS = 5


def init_app(app: Quart) -> None:
    """Register a handler for every kind of error."""
    app.register_error_handler(RequestSchemaValidationError, invalid_request)
    app.register_error_handler(DomainError, domain_error)
    app.register_error_handler(HTTPException, http_error)
    app.register_error_handler(OverflowError, unfit_value)
    # Refused connections and time-outs are OSErrors.
    for kind in (NotReady, DBAPIError, PoolExhausted, RedisError, OSError):
        app.register_error_handler(kind, service_error)


def wants_json() -> bool:
    """Tell whether a program asks: under /api/, or by an Accept header that prefers JSON."""
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
    challenge: str = "",
) -> Response:
    """Return the response for an error: a page, or problem+json."""
    title = title_of(status)
    if not has_request_context():
        return Response(title, status, content_type="text/plain")  # a refused websocket
    happened, hint = words_of(status)
    if wants_json():
        problem: dict[str, Any] = {
            "type": "about:blank",
            "title": title,
            "status": status,
            "detail": message or happened,
            "code": code or code_of(status),
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
            code=code,
        )
        response = await current_app.make_response(page)  # type: ignore[assignment]  # it is ours, not werkzeug's
    response.status_code = status
    if retry_after is not None:
        response.headers["Retry-After"] = str(retry_after)
    if (status == 401 or challenge) and wants_json():
        response.headers["WWW-Authenticate"] = f"Bearer {challenge}".strip()
    response.headers["Cache-Control"] = "no-store"
    return response


async def domain_error(error: DomainError) -> ResponseReturnValue:
    """Answer with the error's own status, or redirect a page to what has to be done first."""
    first = isinstance(error, NotSignedIn | NotRecent | NotConfirmed)
    if first and has_request_context() and not wants_json():
        return await _sign_in_first(error)
    return await answer(
        error.status,
        error.message,
        code=error.code,
        errors=_field(error),
        retry_after=error.retry_after,
        challenge=error.challenge,
    )


async def _sign_in_first(error: DomainError) -> ResponseReturnValue:
    """Redirect to log in, to re-authenticate or to confirm an address, and from there back.

    What was posted is not done, and the next page says so.
    """
    if request.endpoint == current_app.extensions["sign_in_pages"].logout:
        await flash("You are logged out.", "info")
        return redirect(sign_in_url("login"), 303)
    if isinstance(error, NotConfirmed):
        page, happened, first = (
            "unconfirmed",
            "Your email address is not confirmed yet",
            "Confirm it",
        )
    elif isinstance(error, NotRecent):
        page, happened, first = "reauthenticate", "This needs your password", "Enter it"
    else:
        happened = "Your session has ended" if cookie() else "You are not logged in"
        page, first = "login", "Log in"
    if request.method in SAFE_METHODS:
        return redirect(sign_in_url(page, next=request.full_path.rstrip("?")), 303)
    then = "then do it again"
    if await kept.keep():
        then = "and what you typed will be here again, except passwords"
    elif request.content_length != 0:
        then = "then do it again: what you typed is lost"
    await flash(f"{happened}, so this was not done. {first}, {then}.", "warning")
    return redirect(sign_in_url(page, next=kept.page_of_form()), 303)


async def invalid_request(error: RequestSchemaValidationError) -> Response:
    """Answer 422 to what does not fit its schema, with a message for each field."""
    cause = error.validation_error
    errors = messages(cause) if isinstance(cause, ValidationError) else None
    return await answer(422, code="invalid", errors=errors)


async def http_error(error: HTTPException) -> ResponseReturnValue:
    """Answer HTTP's own errors: 404, 405, 413, and 500 for every unexpected exception."""
    if error.code is None or error.code < 400:
        return error.get_response()  # a redirect
    own_words = type(error).description != error.description and error.code != 500
    response = await answer(error.code, error.description if own_words else None)
    for name, value in error.get_headers():
        if name in ("Allow", "Retry-After"):
            response.headers[name] = value
    return response


async def service_error(error: Exception) -> ResponseReturnValue | HTTPException:
    """Answer an error of the database, of Redis or of the operating system.

    400 for a value that fits no column, 503 when a service is away, 404 for a static file whose
    path is too long for the file system; anything else is a mistake of ours, a 500. A reading
    request that met a migration is handled once more.
    """
    if is_outdated(error) and _is_first_reading():
        return await _handle_again()
    if isinstance(error, DBAPIError) and _is_data_error(error):
        return await unfit_value(error)
    if is_away(error):
        return await service_away(error)
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        return await answer(404)
    raise error


def _is_first_reading() -> bool:
    if not has_request_context() or g.get("handled_again"):
        return False
    return request.method in ("GET", "HEAD")


async def _handle_again() -> ResponseReturnValue | HTTPException:
    """Answer a request from its beginning, in new transactions."""
    g.handled_again = True
    try:
        answered = await current_app.preprocess_request()
        return answered if answered is not None else await current_app.dispatch_request()
    except Exception as error:
        return await current_app.handle_user_exception(error)


async def unfit_value(error: Exception) -> Response:
    """Answer 400 to a value that the database cannot store (SQLite raises OverflowError).

    404 if it may be an id in the path: of what no column can hold, there is none.
    """
    values = request.view_args or {} if has_request_context() else {}
    if any(isinstance(value, int) and value > LARGEST_ID for value in values.values()):
        return await answer(404)
    return await answer(400, "A value that was sent cannot be stored.")


async def service_away(error: Exception) -> Response:
    """Answer 503 when a service that the request needs is away."""
    words = str(error).splitlines()
    logger.error(
        "A service is away: %s: %s",
        type(error).__name__,
        words[0] if words else "no answer in time",
    )
    return await answer(503, retry_after=RETRY_SECONDS)


def _field(error: DomainError) -> list[dict[str, str]] | None:
    return [{"field": error.field, "message": error.message}] if error.field else None


def _is_data_error(error: DBAPIError) -> bool:
    if isinstance(error, DataError):
        return True
    cause: BaseException | None = error.orig
    while cause is not None:
        if isinstance(cause, AsyncpgDataError | UnicodeEncodeError):
            return True
        cause = cause.__cause__
    return False
