"""What the document says in words of its own: the conventions, and the ways to sign in."""

from typing import Any

from app.auth.models import Permission
from app.web.access import NOTHING, required_scopes
from app.web.openapi.operations import Operation

# What forms say of their fields, in schemas that pages share with the API.
FORM_HINTS = {"autocomplete", "input", "inputmode", "options", "title"}

# The name of the cookie ends with the value of this setting, and begins with `__Host-` under https;
# the document is the same for every installation.
COOKIE = "session_INSTALLATION_ID"

DESCRIPTION = """\
Requests and answers are JSON in UTF-8. Times are UTC in ISO 8601. Programs sign in with an API \
token, made at `/account/tokens`.

**Errors** are `application/problem+json` \
([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)). Programs read `code`, which never changes; \
`detail` is for people. `errors` says what is wrong with which field. Errors never repeat the \
values that were sent. A path answers 405 to methods that it does not have, and `Allow` names \
those that it has.

**Fields** that an operation does not know are refused with 422, in bodies and in query strings. \
PATCH changes the fields that are sent.

**Lists** that may be long take `limit` and `cursor`. `next` is the cursor of the next page, null \
on the last one.

**Conflicts**: where two may change one thing, answers have an `ETag`. Who sends it back as \
`If-Match` changes the thing only if nobody else has meanwhile; otherwise the answer is 412.

**Rate limits**: `RateLimit` says how many requests are left, and in how many seconds the oldest \
one stops counting; `RateLimit-Policy` says the limit and its window. Beyond it the answer is 429. \
With 429 and 503, `Retry-After` says in how many seconds to try again.
"""

SECURITY_SCHEMES: dict[str, Any] = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "qb_…",
        "description": "An API token, made on the page `/account/tokens`, with scopes.",
    },
    "session": {
        "type": "http",
        "scheme": "bearer",
        "description": "A session: `POST /api/v1/session` begins one, and returns its token.",
    },
    "cookie": {
        "type": "apiKey",
        "in": "cookie",
        "name": COOKIE,
        "description": "The same session in a browser, which gets it as a cookie.",
    },
}

HEADERS = {
    "ETag": ("The version of what is shown, for If-Match.", '"9f86d081884c7d659a2feaa0c55ad015"'),
    "RateLimit": ("What is left of each rate limit.", '"api-minute";r=299;t=60'),
    "RateLimit-Policy": ("Each rate limit.", '"api-minute";q=300;w=60'),
    "Retry-After": ("In how many seconds to try again.", "5"),
    "WWW-Authenticate": ("How to sign in.", "Bearer"),
}

IF_MATCH = {
    "name": "If-Match",
    "in": "header",
    "description": "Act only if the ETag is still this one; otherwise the answer is 412.",
    "schema": {"type": "string"},
    "example": '"9f86d081884c7d659a2feaa0c55ad015"',
}


def security_of(each: Operation) -> list[dict[str, list[str]]]:
    """Return the ways to sign in; that by token lists the scopes that it needs."""
    if not each.access.signed_in:
        return []
    ways: list[dict[str, list[str]]] = [{"session": []}, {"cookie": []}]
    if each.access.session_only:
        return ways
    return [{"token": list(required_scopes(each.access, each.method))}, *ways]


def needs(each: Operation) -> str:
    """Return in words who may use an operation."""
    access = each.access
    if not access.signed_in:
        if each.is_safe:
            return "Anybody may use it."
        if access.session_only:
            return "Anybody may use it, but API tokens are refused."
        return "Anybody may use it; an API token that is sent needs the scope `write`."
    who = "Needs a session with a confirmed address" if access.confirmed else "Needs a session"
    if access.permission != NOTHING:
        name = access.permission
        who += f" and the permission `{name.name if isinstance(name, Permission) else name}`"
    if access.recent:
        who += ", in which the password was entered within the last minutes"
    if access.session_only:
        return f"{who}. API tokens are refused."
    scopes = [f"`{scope}`" for scope in required_scopes(access, each.method)]
    named = f"scope{'s' * (len(scopes) > 1)} {' and '.join(scopes)}"
    if isinstance(access.permission, str):
        named += "; an administrator's token has that permission with the scope `administer`"
    return f"{who}, or an API token with the {named}."
