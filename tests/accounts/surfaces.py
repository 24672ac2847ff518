"""The flows of accounts on their two surfaces, pages and API: what a test sends to either.

Whoever drives a flow names it and says by which surface; the paths, the fields that a form has
twice and the way in which a session is carried are known here alone.
"""

import json
from dataclasses import dataclass
from typing import Any

from app.auth.models import Purpose

SESSION_COOKIE = "session_testing"  # with the INSTALLATION_ID of tests, under http
DEVICE_COOKIE = "device_testing"

PAGE, API = True, False  # what `by_page` means


@dataclass(frozen=True)
class Request:
    """What is sent: a form to a page, or JSON to the API."""

    method: str
    path: str
    by_page: bool
    fields: dict[str, Any] | None = None

    def headers(self, secret: str | None, device: str | None = None) -> dict[str, str]:
        """Return what carries a session: a browser's cookie, or a program's bearer token.

        A device is a cookie on both surfaces.
        """
        cookies, headers = {DEVICE_COOKIE: device}, {}
        if self.by_page:
            cookies[SESSION_COOKIE] = secret
        elif secret:
            headers["Authorization"] = f"Bearer {secret}"
        if sent := [f"{name}={value}" for name, value in cookies.items() if value]:
            headers["Cookie"] = "; ".join(sent)
        return headers


@dataclass(frozen=True)
class Flow:
    """One thing that people do, by page or by API: `METHOD /path` on each."""

    page: str
    api: str
    repeated: str | None = None  # the field that is typed twice on the page

    def request(
        self, fields: dict[str, Any] | None = None, *, by_page: bool, **path: object
    ) -> Request:
        """Return the request on one of the surfaces; `path` fills in what the paths leave open."""
        method, _, pattern = (self.page if by_page else self.api).partition(" ")
        if by_page and method == "POST":
            fields = dict(fields or {})
            if self.repeated:
                fields[f"{self.repeated}2"] = fields[self.repeated]
        return Request(method, pattern.format(**path), by_page, fields)


LOG_IN = Flow("POST /account/login", "POST /api/v1/session")
LOG_OUT = Flow("POST /account/logout", "DELETE /api/v1/session")
REAUTHENTICATE = Flow("POST /account/reauthenticate", "POST /api/v1/session/reauthentication")
REGISTER = Flow("POST /account/register", "POST /api/v1/account", repeated="password")
RESEND_CONFIRMATION = Flow(
    "POST /account/confirm-account", "POST /api/v1/account/confirmation/mail"
)
SEE_ACCOUNT = Flow("GET /account/manage", "GET /api/v1/account")
RENAME = Flow("POST /account/manage", "PATCH /api/v1/account")
DOWNLOAD_DATA = Flow("GET /account/data", "GET /api/v1/account/data")
DELETE_ACCOUNT = Flow("POST /account/delete", "POST /api/v1/account/deletion")
END_OTHER_SESSIONS = Flow("POST /account/sessions/end-others", "DELETE /api/v1/account/sessions")
END_SESSION = Flow("POST /account/sessions/{id}/end", "DELETE /api/v1/account/sessions/{id}")
MAKE_TOKEN = Flow("POST /account/tokens", "POST /api/v1/account/tokens")
END_TOKEN = Flow("POST /account/tokens/{id}/end", "DELETE /api/v1/account/tokens/{id}")
CHANGE_PASSWORD = Flow(
    "POST /account/manage/change-password", "POST /api/v1/account/password", repeated="new_password"
)
REQUEST_RESET = Flow("POST /account/reset-password", "POST /api/v1/account/password/reset/mail")
REQUEST_EMAIL_CHANGE = Flow("POST /account/manage/change-email", "POST /api/v1/account/email")


@dataclass(frozen=True)
class MailedLink:
    """A kind of link: the subject of its mail, its page, and the endpoint that takes its secret."""

    subject: str
    page: str
    api: str
    password: str | None = None  # the field of the password that is chosen with it
    shown: str | None = None  # that of the password by which an account is shown to be one's own

    def show(self, secret: str) -> Request:
        """Return the request that opens the link, which must not consume it."""
        return Request("GET", self.page + secret, PAGE)

    def use(
        self,
        secret: str,
        password: str | None = None,
        *,
        by_page: bool,
        shown: str | None = None,
        **others: str,
    ) -> Request:
        """Return the request that consumes the link.

        `password` is a new one, for a link with which one is chosen; `shown` is that of the
        account, for a link that does not show whose account it is. `others` are further fields.
        """
        fields = {self.password: password} if self.password else {}
        if self.shown and shown:
            fields[self.shown] = shown
        fields |= others
        if not by_page:
            fields["token"] = secret
        flow = Flow(f"POST {self.page}{{secret}}", f"POST {self.api}", self.password)
        return flow.request(fields, by_page=by_page, secret=secret)


LINKS = {
    Purpose.CONFIRM: MailedLink(
        "Confirm your account",
        "/account/confirm-account/",
        "/api/v1/account/confirmation",
        shown="password",
    ),
    Purpose.RESET: MailedLink(
        "Reset your password",
        "/account/reset-password/",
        "/api/v1/account/password/reset",
        "new_password",
    ),
    Purpose.CHANGE_EMAIL: MailedLink(
        "Confirm your new email",
        "/account/manage/change-email/",
        "/api/v1/account/email/confirmation",
        shown="password",
    ),
    Purpose.INVITE: MailedLink(
        "You are invited to join",
        "/account/join-from-invite/",
        "/api/v1/account/invitation",
        "password",
    ),
    Purpose.OBJECT: MailedLink(
        "Your email address is about to change",
        "/account/keep-email/",
        "/api/v1/account/email/objection",
    ),
}
# Takes the secret of a link that confirms an address, and needs a `first_name` and a `last_name`.
SET_UP = MailedLink(
    "Set up your account", "/account/set-up/", "/api/v1/account/set-up", password="password"
)


def cookie_in(set_cookies: list[str], cookie: str = SESSION_COOKIE) -> str | None:
    """Return the session that an answer's Set-Cookie headers give to a browser, if there is one.

    Or another cookie.
    """
    for line in set_cookies:
        name, _, value = line.partition(";")[0].partition("=")
        if name == cookie and value:
            return value
    return None


def session_in(set_cookies: list[str], body: str, *, by_page: bool) -> str:
    """Return the secret of the session that an answer begins."""
    if by_page:
        secret = cookie_in(set_cookies)
    else:
        answer = json.loads(body)
        secret = (answer.get("session") or answer)["token"]
    assert secret, "no session has begun"
    return str(secret)
