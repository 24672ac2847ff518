"""Errors that are shown to people: their messages say what is wrong and what to do."""


class Problem(Exception):
    """Something that whoever sees it can put right. Its text is one or two plain sentences.

    `web.errors` shows it as a page or as problem+json, `manage.py` as one line on stderr.
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
    """A service is away, or its data are not in the state that this code expects."""

    code = "not-ready"


class DomainError(Problem):
    """A rule of the domain refuses what was asked. Answered with the HTTP status `status`."""

    code = "refused"
    status = 409
    retry_after: int | None = None  # seconds, where trying again helps
    challenge = ""  # parameters of the header `WWW-Authenticate: Bearer`


class NotFound(DomainError):
    """The thing does not exist, or the actor may not see it."""

    code = "not-found"
    status = 404


class TooMany(DomainError):
    """A rate limit is exceeded. `retry_after` is in seconds."""

    code = "too-many-requests"
    status = 429

    def __init__(self, message: str, *, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Busy(DomainError):
    """The process has no capacity left for this; a retry in a few seconds will succeed."""

    code = "busy"
    status = 503
    retry_after = 5
