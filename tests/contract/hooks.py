"""What schemathesis needs to know about this API: who calls it, and which values are right.

It is loaded by schemathesis, in an environment without the application. A specification says which
requests are well formed, not which links were mailed, which password is whose and which address is
free. So of the requests that are meant to be accepted most get values that are right; the others
stay as they were drawn.
"""

import json
import os
import socket
import zlib
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import schemathesis

CALLER = json.loads(os.environ["CONTRACT_CALLER"])  # of stage.Caller, with the passwords
PASSWORD, NEW_PASSWORD = CALLER["password"], CALLER["new_password"]
STATUSES = Path(os.environ["CONTRACT_STATUSES"])  # gets a line for each request
NUMBERS = count(1)

Values = dict[str, Any]


class Stage:
    """The other end of the socket; see stage.py."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(path)
        self._lines = self._socket.makefile("rw")

    def ask(self, **wanted: object) -> Any:
        self._lines.write(json.dumps(wanted) + "\n")
        self._lines.flush()
        return json.loads(self._lines.readline())


STAGE = Stage(os.environ["CONTRACT_SOCKET"])


class Session:
    """The caller's present credential. What ended is never used again."""

    def __init__(self) -> None:
        self.user_id, self.bearers = 0, list[str]()
        self.renew()

    def renew(self) -> None:
        if CALLER["email"]:
            answer = STAGE.ask(want="credential")
            self.user_id = answer["user_id"]
            self.bearers.append(f"Bearer {answer['secret']}")


SESSION = Session()


if SESSION.bearers:

    @schemathesis.auth(refresh_interval=None)
    class CallerAuth:
        """Sends the credential. Nothing is tried again after a 401: that would hide it."""

        def get(self, case: Any, context: Any) -> str:
            return SESSION.bearers[-1]

        def set(self, case: Any, data: str, context: Any) -> None:
            case.headers["Authorization"] = data


def _own(case: Any) -> bool:
    named = case.body.get("ids", []) if isinstance(case.body, dict) else []
    return str(SESSION.user_id) in {str(case.path_parameters.get("user_id")), *map(str, named)}


def _always(case: Any) -> bool:
    return True


# Requests that end the caller's own credential when they succeed. The caller then logs in again,
# or gets the account anew.
ENDS: dict[str, Callable[[Any], bool]] = {
    "POST /api/v1/session": _always,  # the session that came with it
    "DELETE /api/v1/session": _always,
    "POST /api/v1/account/confirmation": _always,  # in place of it another one begins
    "POST /api/v1/account/set-up": _always,
    "POST /api/v1/account/email/confirmation": _always,
    "POST /api/v1/account/password": _always,
    "POST /api/v1/account/deletion": _always,
    "DELETE /api/v1/account/sessions/{session_id}": _always,  # it may be the own one
    "DELETE /api/v1/account/tokens/{token_id}": _always,
    "PATCH /api/v1/users/{user_id}": _own,
    "DELETE /api/v1/users/{user_id}": _own,
    "POST /api/v1/users/{user_id}/disable": _own,
    "POST /api/v1/users/{user_id}/reset-password": _own,
    "DELETE /api/v1/users/{user_id}/sessions": _own,
    "DELETE /api/v1/users/{user_id}/sessions/{session_id}": _own,
    "POST /api/v1/users/acts": _own,
    "PUT /api/v1/roles/{role_id}": _always,  # which may take permissions away from the caller
}

# Where 401 is not about the caller.
WRONG_CREDENTIALS = {"POST /api/v1/session": "answers a wrong password, whoever calls"}


def _email() -> str:
    return f"contract{next(NUMBERS)}@example.com"


def _known_email() -> str:
    return str(CALLER["email"] or STAGE.ask(want="active")["email"])


def _link(purpose: str, **values: str) -> Values:
    made = STAGE.ask(want="link", purpose=purpose)
    return {"token": made["secret"]} | values


# What a request has to hold to be accepted, where the specification cannot say it.
RIGHT: dict[str, Callable[[], Values]] = {
    "POST /api/v1/session": lambda: {"email": _known_email(), "password": PASSWORD},
    "POST /api/v1/session/reauthentication": lambda: {"password": PASSWORD},
    "POST /api/v1/account": lambda: {"email": _email(), "password": NEW_PASSWORD},
    "POST /api/v1/account/confirmation": lambda: _link("confirm", password=PASSWORD),
    "POST /api/v1/account/set-up": lambda: _link("confirm", password=NEW_PASSWORD),
    "POST /api/v1/account/deletion": lambda: {"password": PASSWORD},
    "POST /api/v1/account/email": lambda: {"email": _email(), "password": PASSWORD},
    "POST /api/v1/account/email/confirmation": lambda: _link("change_email", password=PASSWORD),
    "POST /api/v1/account/email/objection": lambda: _link("object"),
    "POST /api/v1/account/invitation": lambda: _link("invite", password=NEW_PASSWORD),
    "POST /api/v1/account/password": lambda: {
        "old_password": PASSWORD,
        "new_password": NEW_PASSWORD,
    },
    "POST /api/v1/account/password/reset": lambda: _link("reset", new_password=NEW_PASSWORD),
    "POST /api/v1/account/password/reset/mail": lambda: {"email": _known_email()},
    "POST /api/v1/users": lambda: {"email": _email(), "role": "User", "password": NEW_PASSWORD},
    "POST /api/v1/users/invitations": lambda: {"email": _email(), "role": "User"},
    "POST /api/v1/users/import": lambda: {"people": f"Robin Example <{_email()}>", "role": "User"},
    "POST /api/v1/users/acts": lambda: {"role": "User"},
    "PATCH /api/v1/users/{user_id}": lambda: {"email": _email(), "role": "User"},
    "POST /api/v1/roles": lambda: {"index": "main", "grants": []},
    "PUT /api/v1/roles/{role_id}": lambda: {"index": "main", "grants": []},
    "PUT /api/v1/pages/{slug}": lambda: {"version": 0},
}


def _row(kind: str, **values: object) -> Callable[[], Values]:
    def made() -> Values:
        found: Values = STAGE.ask(want=kind, **values)
        return found

    return made


def _page() -> Values:
    number = next(NUMBERS)
    return {"slug": f"page-{number % CALLER['pages']}", "number": 1 + number % CALLER["versions"]}


# Where a path leads to something that is there, in a state in which the request is accepted. Lists
# give schemathesis the ids of everything else.
THERE: dict[str, Callable[[], Values]] = {
    "DELETE /api/v1/account/tokens/{token_id}": _row("token"),
    "DELETE /api/v1/account/sessions/{session_id}": _row("session", own=True),
    "DELETE /api/v1/users/{user_id}/sessions/{session_id}": _row("session", own=False),
    "GET /api/v1/jobs/{job_id}": _row("job"),
    "POST /api/v1/jobs/{job_id}/retry": _row("job"),
    "POST /api/v1/jobs/{job_id}/discard": _row("job"),
    "POST /api/v1/users/{user_id}/confirm": _row("unconfirmed"),
    "POST /api/v1/users/{user_id}/disable": _row("active"),
    "POST /api/v1/users/{user_id}/enable": _row("disabled"),
    "POST /api/v1/users/{user_id}/reset-password": _row("active"),
    "POST /api/v1/users/{user_id}/invitation": _row("invited"),
    "DELETE /api/v1/users/{user_id}/invitation": _row("invited"),
    "GET /api/v1/pages/{slug}": _page,
    "PUT /api/v1/pages/{slug}": lambda: {"slug": f"new-{next(NUMBERS)}"},
    "DELETE /api/v1/pages/{slug}": _page,
    "POST /api/v1/pages/{slug}/restore": _page,
    "GET /api/v1/pages/{slug}/versions": _page,
    "GET /api/v1/pages/{slug}/versions/{number}": _page,
}


class Given:
    """Which right values the last request got: the names of fields."""

    def __init__(self) -> None:
        self.case_id, self.fields = "", set[str]()


GIVEN = Given()


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Send the present credential, and most of the time the right values."""
    GIVEN.case_id, GIVEN.fields = case.id, set()
    # requests 2.34 raises for a cookie whose value is no text, which would end all stories.
    case.cookies = {name: str(value) for name, value in case.cookies.items()}
    if case.headers.get("Authorization") in SESSION.bearers:
        case.headers["Authorization"] = SESSION.bearers[-1]
    if case.meta is None or case.meta.generation.mode.is_negative:
        return
    drawn = zlib.crc32(repr((case.path_parameters, case.body)).encode())  # the same in a replay
    if drawn % 4 == 0:
        return
    case.headers.pop("If-Match", None)  # of a version that nobody has read
    if (right := RIGHT.get(case.operation.label)) and isinstance(case.body, dict):
        values = {name: value for name, value in right().items() if name in case.body}
        case.body |= values
        GIVEN.fields = set(values)
    # In a story of requests, paths lead to what the requests before it made or deleted.
    if (there := THERE.get(case.operation.label)) and case.meta.phase.name != "stateful":
        values = there()
        case.path_parameters |= {name: values[name] for name in case.path_parameters}


@schemathesis.hook
def after_call(context: Any, case: Any, response: Any) -> None:
    """Count the answer, and log in again where the caller's credential has ended."""
    label, method = case.operation.label, response.request.method
    if label.startswith(f"{method} "):
        with STATUSES.open("a") as lines:
            lines.write(f"{response.status_code} {label}\n")
        if response.status_code < 300 and (ends := ENDS.get(label)) and ends(case):
            SESSION.renew()


@schemathesis.hook
def filter_failure(context: Any, failure: Any, case: Any, response: Any) -> bool:
    """Accept two things that a specification cannot say.

    An empty value in a query string counts as absent, since forms send those of empty fields; and
    what is a set may name one thing twice.
    """
    if type(failure).__name__ != "AcceptedNegativeData":
        return True
    query = parse_qsl(urlsplit(response.request.url).query, keep_blank_values=True)
    lists = [each for each in _values(case.body) if isinstance(each, list)]
    repeated = any(len(each) != len(set(map(repr, each))) for each in lists)
    return not (repeated or any(value == "" for _, value in query))


def _values(body: Any) -> list[Any]:
    return list(body.values()) if isinstance(body, dict) else []


@schemathesis.check
def never_401_with_valid_credentials(context: Any, response: Any, case: Any) -> None:
    """Fail where a caller whose credential is valid is told to log in."""
    sent = response.request.headers.get("Authorization")
    if response.status_code == 401 and sent in SESSION.bearers:
        assert case.operation.label in WRONG_CREDENTIALS, "401 for a caller who is logged in"


@schemathesis.check
def right_values_are_accepted(context: Any, response: Any, case: Any) -> None:
    """Fail where a value that is right is refused, though the specification allows to refuse it."""
    if case.id != GIVEN.case_id or not GIVEN.fields:
        return
    if response.status_code == 422:
        refused = {each["field"] for each in response.json().get("errors", [])}
        assert not refused & GIVEN.fields, f"{refused & GIVEN.fields} was right"
    if "token" in GIVEN.fields:
        assert response.status_code != 410, "the link was valid"
    if GIVEN.fields & {"password", "old_password"} and response.status_code in (401, 403):
        assert not response.json()["code"].startswith("wrong-"), "the password was right"
