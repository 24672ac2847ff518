"""Every answer of the API in the whole suite is compared with what its view declares."""

from collections.abc import Mapping
from http import HTTPStatus

from quart import Quart, Response, request

from app.web.openapi.errors import refusals
from app.web.openapi.operations import Operation, operations

Declared = Mapping[int, set[str]]  # status → the codes of errors; of other answers none


def declared_by(operation: Operation) -> Declared:
    """Return what an operation declares."""
    errors = {
        status: {each.code for each in which} for status, which in refusals(operation).items()
    }
    return {**{status: set() for status in operation.answers}, **errors}


async def undeclared(response: Response, declared: Declared) -> str | None:
    """Return what is wrong with an answer: an undeclared status, or code of an error."""
    status = response.status_code
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR and status not in declared:
        return None  # a fault, which the test itself is about
    if status not in declared:
        return f"status {status}: {await response.get_data(as_text=True)}"
    if status < HTTPStatus.BAD_REQUEST:
        return None
    if response.content_type != "application/problem+json":
        return f"status {status} of type {response.content_type}"
    code = (await response.get_json())["code"]
    return None if code in declared[status] else f"status {status} with code {code}"


def watch(app: Quart) -> None:
    """Fail wherever an answer is not declared."""
    known = {
        (each.rule.endpoint, each.method): (each, declared_by(each)) for each in operations(app)
    }

    @app.after_request
    async def compare(response: Response) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        found = known.get((str(request.endpoint), method))
        if found and request.routing_exception is None:
            wrong = await undeclared(response, found[1])
            assert wrong is None, (
                f"{method} {found[0].path} answers what it does not declare, {wrong}: add the "
                "error to @raises(…) of its view"
            )
        return response
