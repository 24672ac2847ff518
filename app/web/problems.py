"""What problem+json (RFC 9457) says: stable codes and titles, and the schema of it."""

from http import HTTPStatus
from typing import NamedTuple

from pydantic import BaseModel, Field

# As RFC 9110 has them: the names in `http.HTTPStatus` differ from one Python to the next.
TITLES = {413: "Content Too Large", 422: "Unprocessable Content"}


REQUEST_ID = "4f1c9d0ab37e4c554f1c9d0ab37e4c55"  # for example


class Words(NamedTuple):
    """What happened, and what to do about it."""

    happened: str
    hint: str


# For errors without words of their own.
WORDS = {
    400: Words(
        "This request could not be understood.",
        "Check the URL and what was sent, then try again.",
    ),
    401: Words("You are not logged in.", "Log in and try again."),
    403: Words("You are not allowed to do this.", "If you need to do this, ask an administrator."),
    404: Words("This page does not exist.", "Check the URL, or start from the home page."),
    405: Words(
        "This URL does not support that kind of request.",
        "Go back, and try again from the page itself.",
    ),
    408: Words("The request took too long to arrive.", "Try again."),
    409: Words(
        "This cannot be done as things are now.",
        "Open the page again to see how they are, and decide then.",
    ),
    410: Words(
        "This is no longer available.",
        "You may be done already: try to log in. If you have no password yet, or have forgotten "
        "it, reset your password, and we send you a new link.",
    ),
    413: Words("What was sent is too large.", "Send less at once."),
    415: Words(
        "This content type is not supported here.",
        "Send JSON to the API, and forms to pages.",
    ),
    422: Words("Some of what was sent is not valid.", "Correct what is named, and try again."),
    429: Words("That was too often. Wait a moment.", "Until then nothing is done."),
    500: Words(
        "Something went wrong on our side.",
        "Try again. If it keeps happening, tell us the request id below.",
    ),
    503: Words("The service is unavailable at the moment.", "Try again in a few seconds."),
}


class FieldProblem(BaseModel):
    """What is wrong with one field."""

    field: str = Field(
        description="Its name; nested ones are joined by dots, such as `ids.0`.",
        examples=["email"],
    )
    message: str = Field(
        description="What is wrong, for people.", examples=["This field is required."]
    )


class ProblemDetails(BaseModel):
    """Why a request was refused. It never holds the values that were sent."""

    type: str = Field(description="Always `about:blank`: see `code`.", examples=["about:blank"])
    title: str = Field(description="The name of the status.", examples=["Not Found"])
    status: int = Field(description="The status of the answer.", examples=[404])
    detail: str = Field(description="What happened, for people: its words may change.")
    code: str = Field(description="What happened, for programs: it never changes.")
    request_id: str = Field(description="Names the request in the logs.", examples=[REQUEST_ID])
    errors: list[FieldProblem] = Field(
        [], description="What is wrong with which field, where it is about fields."
    )


def title_of(status: int) -> str:
    """Return the name of a status."""
    return TITLES.get(status) or HTTPStatus(status).phrase


def code_of(status: int) -> str:
    """Return the code of an error that has none of its own: the name of its status."""
    return title_of(status).lower().replace(" ", "-")


def words_of(status: int) -> Words:
    """Return what is said of an error that has no words of its own."""
    return WORDS.get(status) or WORDS[400 if status < 500 else 500]
