"""The errors of an operation: those that its view declares, and those that follow from that."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from app.auth.scopes import InsufficientScope, InvalidToken, SessionRequired
from app.errors import Busy, DomainError, TooMany
from app.keyset import BadCursor, ListQuery
from app.web.access import NOTHING, required_scopes
from app.web.openapi.operations import Operation
from app.web.problems import code_of, words_of
from app.web.refusals import Forbidden, NotConfirmed, NotRecent, NotSignedIn, PasswordOutdated


@dataclass(frozen=True)
class Refusal:
    """An answer that is an error: its status, its code, and what it says, for an example."""

    status: int
    code: str
    detail: str


def refusal(error: type[DomainError]) -> Refusal:
    """Return what an error of the domain is answered with."""
    return Refusal(error.status, error.code, error.message or words_of(error.status).happened)


def http_refusal(status: int) -> Refusal:
    """Return what an error of HTTP's own is answered with."""
    return Refusal(status, code_of(status), words_of(status).happened)


INVALID = Refusal(422, "invalid", words_of(422).happened)


def refusals(operation: Operation) -> dict[int, list[Refusal]]:
    """Return everything that an operation may refuse, by status."""
    found: dict[int, dict[str, Refusal]] = defaultdict(dict)
    for each in _all(operation):
        found[each.status].setdefault(each.code, each)
    return {status: list(codes.values()) for status, codes in sorted(found.items())}


def _all(operation: Operation) -> Iterator[Refusal]:
    access = operation.access
    yield http_refusal(400)  # text that no database stores, in a URL or a body
    if access.signed_in:
        yield from map(refusal, (NotSignedIn, InvalidToken))
        if access.confirmed:
            yield refusal(NotConfirmed)
        if not access.before_password_change:
            yield refusal(PasswordOutdated)
        if access.recent:
            yield refusal(NotRecent)
    if access.permission != NOTHING or not operation.is_safe:
        yield refusal(Forbidden)  # by the role, or by the cross-site guard
    if access.session_only:
        yield refusal(SessionRequired)
    elif required_scopes(access, operation.method):
        yield refusal(InsufficientScope)
    if operation.rule.arguments:
        yield http_refusal(404)
    if operation.query and issubclass(operation.query, ListQuery):
        yield refusal(BadCursor)
    if operation.body:
        yield from map(http_refusal, (408, 413, 415))
    yield INVALID  # at least a field in the query string that there is not
    if operation.is_limited:
        yield refusal(TooMany)
    yield from map(refusal, operation.raises)
    yield refusal(Busy)
    yield http_refusal(503)
