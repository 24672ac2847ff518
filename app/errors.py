"""Errors that are meant for people: each has a message that says what is wrong and what to do."""


class Problem(Exception):
    """Something that the person in front of this can mend; its text is one clear sentence or two.

    The edges show it: `web.errors` as a page or as problem+json, `manage.py` as a line on stderr.
    """

    code = "problem"
    message = ""
    field: str | None = None

    def __init__(self, message: str | None = None, *, field: str | None = None) -> None:
        self.message, self.field = message or self.message, field or self.field
        super().__init__(self.message)


class ConfigurationError(Problem):
    """The configuration cannot be used; the message lists everything that is wrong with it."""

    code = "configuration"


class NotReady(Problem):
    """A service this needs is away, or its data are not in the state that this code expects."""

    code = "not-ready"


class DomainError(Problem):
    """A rule of the domain says no. `status` is the HTTP status that it is answered with."""

    code = "refused"
    status = 409
    retry_after: int | None = None  # seconds, where trying again helps


class NotFound(DomainError):
    """There is no such thing, or none that the actor may see."""

    code = "not-found"
    status = 404


class TooMany(DomainError):
    """A limit is reached; `retry_after` is in seconds."""

    code = "too-many-requests"
    status = 429

    def __init__(self, message: str, *, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Busy(DomainError):
    """There is more work at hand than this process takes on; trying again in a moment works."""

    code = "busy"
    status = 503
    retry_after = 5
