"""The operations of the API, and what their views declare."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from quart import Quart
from quart_schema.validation import (
    QUART_SCHEMA_QUERYSTRING_ATTRIBUTE,
    QUART_SCHEMA_REQUEST_ATTRIBUTE,
    QUART_SCHEMA_RESPONSE_ATTRIBUTE,
)
from werkzeug.routing import Rule

from app.errors import DomainError
from app.preconditions import Outdated
from app.web.access import Access, declared
from app.web.cross_site import SAFE_METHODS

# Marks of `app.web.api`, on views and on blueprints.
RAISES, TAGGED = "_raises", "_tagged"
TAG = "_tag"


@dataclass(frozen=True)
class Tag:
    """A group of operations, those of a blueprint."""

    name: str
    description: str


@dataclass(frozen=True)
class Operation:
    """A method of a path, and what its view declares."""

    rule: Rule
    method: str
    view: Callable[..., Any]
    access: Access
    tag: Tag | None

    @property
    def path(self) -> str:
        """The path with its parameters in braces."""
        return re.sub(r"<(?:[^:<>]*:)?([^<>]+)>", r"{\1}", self.rule.rule)

    @property
    def is_safe(self) -> bool:
        """Whether it changes nothing."""
        return self.method in SAFE_METHODS

    @property
    def body(self) -> type[BaseModel] | None:
        """The schema of the request's body."""
        found = getattr(self.view, QUART_SCHEMA_REQUEST_ATTRIBUTE, None)
        return found[0] if found else None

    @property
    def query(self) -> type[BaseModel] | None:
        """The schema of the query string."""
        return getattr(self.view, QUART_SCHEMA_QUERYSTRING_ATTRIBUTE, None)

    @property
    def answers(self) -> dict[int, type[BaseModel] | None]:
        """The schema of each answer that is no error; without any it is an empty 204."""
        found = getattr(self.view, QUART_SCHEMA_RESPONSE_ATTRIBUTE, {})
        return {status: shape for status, (shape, _) in found.items()} or {204: None}

    @property
    def raises(self) -> tuple[type[DomainError], ...]:
        """The errors of the domain that it declares."""
        found: tuple[type[DomainError], ...] = getattr(self.view, RAISES, ())
        return (*found, Outdated) if self.is_tagged and not self.is_safe else found

    @property
    def is_tagged(self) -> bool:
        """Whether its answer has an ETag, or it takes If-Match."""
        return hasattr(self.view, TAGGED)

    @property
    def is_limited(self) -> bool:
        """Whether it counts against a rate limit."""
        return bool(declared(self.view)[1])


def operations(app: Quart) -> Iterator[Operation]:
    """Return every operation under /api/, by path."""
    for rule in sorted(app.url_map.iter_rules(), key=lambda rule: rule.rule):
        view = app.view_functions[rule.endpoint]
        access, _ = declared(view)
        if not rule.rule.startswith("/api/") or access is None:
            continue
        blueprint = app.blueprints.get(rule.endpoint.rpartition(".")[0])
        tag: Tag | None = getattr(blueprint, TAG, None)
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            yield Operation(rule, method, view, access, tag)
