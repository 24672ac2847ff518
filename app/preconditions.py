"""Conditional requests (RFC 9110): a thing is changed only if it is as one has read it."""

import hashlib
from collections.abc import Callable, Collection
from dataclasses import dataclass

from pydantic import BaseModel

from app.errors import DomainError


class Outdated(DomainError):
    """The thing is not as the request's If-Match says: nothing was done."""

    code = "changed-meanwhile"
    status = 412
    message = "This has changed since you read it. Read it again, and decide then."


def entity_tag(shown: BaseModel) -> str:
    """Return the tag of a representation: 32 hex digits of the SHA-256 of its JSON.

    A new field in its schema changes it. A schema that is costly to build names in `TAGGED_BY` the
    fields that suffice.
    """
    which: Collection[str] = getattr(shown, "TAGGED_BY", type(shown).model_fields)
    text = shown.model_dump_json(include=set(which))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class IfMatch:
    """The entity tags that a request is for; None means any."""

    tags: frozenset[str] | None = None

    def require(self, current: Callable[[], BaseModel | None]) -> None:
        """Raise `Outdated` unless the tag of the thing, as it is now, is one of them.

        Call it where the thing is locked. `current` is called only if the request has a condition,
        and returns None where there is no such thing.
        """
        if self.tags is None:
            return
        found = current()
        if found is None or entity_tag(found) not in self.tags:
            raise Outdated


ANY = IfMatch()
