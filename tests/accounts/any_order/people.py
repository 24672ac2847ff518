"""Two people, their browsers and their mailboxes: the owner of two addresses, and a stranger.

The owner does what an honest person does with every mail. The stranger types the owner's addresses
wherever an address can be typed, but reads only mails to addresses of the stranger's own.
"""

import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from quart import Quart

from app.auth.models import Purpose
from app.mail.message import Email, compose
from tests.accounts.any_order.driver import work
from tests.accounts.surfaces import (
    DEVICE_COOKIE,
    LINKS,
    LOG_IN,
    LOG_OUT,
    PAGE,
    SEE_ACCOUNT,
    SESSION_COOKIE,
    SET_UP,
    Flow,
    MailedLink,
    Request,
)


@dataclass(frozen=True)
class Person:
    """Somebody, who chooses the same name and the same password wherever they are asked."""

    name: tuple[str, str]
    password: str
    emails: tuple[str, str]

    @property
    def names(self) -> dict[str, str]:
        """The fields of a form that asks for them."""
        return dict(zip(("first_name", "last_name"), self.name, strict=True))


OWNER = Person(
    ("Olive", "Rightful"), "a violet kettle sings", ("olive@example.com", "work@example.com")
)
STRANGER = Person(
    ("Mallory", "Mallory-Sly"),
    "nine green lanterns hum",
    ("mallory@elsewhere.example", "mallory2@elsewhere.example"),
)


@dataclass(frozen=True)
class Answer:
    """What came of a request: the status, where a page leads to, and what it says."""

    status: int
    location: str
    text: str

    @property
    def is_yes(self) -> bool:
        """Whether it was not refused."""
        return self.status < 400


@dataclass
class Browser:
    """A browser or a program: its ip, its cookies, and every secret that it ever held."""

    app: Quart
    ip: str
    session: str = ""
    device: str = ""
    held: set[str] = field(default_factory=set)

    async def do(
        self, flow: Flow, fields: dict[str, Any] | None = None, *, page: bool = PAGE, **path: object
    ) -> Answer:
        """Send a flow by one of the surfaces."""
        return await self.send(flow.request(fields, by_page=page, **path))

    async def send(self, request: Request, ip: str = "") -> Answer:
        """Send a request with the cookies, and keep those of the answer."""
        headers = request.headers(self.session, self.device)
        content: dict[str, Any] = {}
        if request.fields is not None:
            content["form" if request.by_page else "json"] = request.fields
        response = await self.app.test_client().open(
            request.path,
            method=request.method,
            headers=headers,
            scope_base={"client": (ip or self.ip, 1)},
            **content,
        )
        for line in response.headers.getlist("Set-Cookie"):
            name, _, value = line.partition(";")[0].partition("=")
            if name == SESSION_COOKIE:
                self.session = value
            elif name == DEVICE_COOKIE:
                self.device = value
        self.held |= {self.session, self.device} - {""}
        text = await response.get_data(as_text=True)
        assert response.status_code < 500, text
        return Answer(response.status_code, response.headers.get("Location", ""), text)

    async def log_in(self, email: str, password: str, *, page: bool = PAGE) -> Answer:
        """Log in, in place of whoever is logged in."""
        return await self.do(LOG_IN, {"email": email, "password": password}, page=page)

    async def be_logged_in(self, email: str, password: str) -> None:
        """Log in, unless somebody is."""
        if not self.session:
            await self.log_in(email, password)

    async def log_out(self) -> None:
        """Log out, if somebody is logged in."""
        if self.session:
            await self.do(LOG_OUT)
            self.session = ""

    async def sees(self, email: str) -> bool:
        """Return whether it shows the owner's account, confirmed and by the owner's own name."""
        answer = await self.do(SEE_ACCOUNT)
        words = (email, "Confirmed", *(f'value="{name}"' for name in OWNER.name))
        return answer.status == 200 and all(word in answer.text for word in words)


@dataclass(frozen=True)
class Mail:
    """A mail that has arrived, and the path of its link."""

    to: str
    subject: str
    path: str

    @property
    def secret(self) -> str:
        """The secret in the link, if there is one."""
        return self.path.rpartition("/")[2]

    @property
    def kind(self) -> MailedLink | None:
        """The kind of link, None for one that leads to a page for everybody."""
        kinds = (SET_UP, *LINKS.values())
        return next((kind for kind in kinds if self.path == kind.page + self.secret), None)

    @property
    def is_key(self) -> bool:
        """Whether it is a link that people ask for who cannot get in."""
        return self.kind in (SET_UP, LINKS[Purpose.CONFIRM], LINKS[Purpose.RESET])


class Mailboxes:
    """The mails that have arrived, in order, and who reads them."""

    def __init__(self, sent: list[Email]) -> None:
        self._sent, self._mails = sent, list[Mail]()

    def of(self, person: Person) -> list[Mail]:
        """Return the mails to any address of a person, the newest first."""
        return [mail for mail in reversed(self._mails) if mail.to in person.emails]

    async def fill(self) -> None:
        """Run the jobs as a worker would; read what they mail as people do."""
        self._sent.clear()
        await work()
        for email in self._sent:
            if email.to in OWNER.emails:
                message = await compose(email)
                parts = [part.get_content() for part in message.iter_parts()]
                said = " ".join([str(message["Subject"]), *parts]).lower()
                assert "mallory" not in said, f"a stranger's word in a mail: {said}"
            path = urlsplit(str(email.context["link"])).path
            self._mails.append(Mail(email.to, email.subject, path))


async def press(browser: Browser, mail: Mail, person: Person) -> None:
    """Open a link and press its button, as the honest person does whom it was mailed to.

    They type their own password where one is asked for, and choose their own name and password
    where that is what is offered instead.
    """
    kind, secret, password = mail.kind, mail.secret, person.password
    page = await browser.send(kind.show(secret)) if kind else None
    if kind is None or page is None or page.status != 200:
        return
    if kind.shown:
        asks = re.search(r'<input[^>]* name="password"', page.text)
        shown = password if asks else None
        answer = await browser.send(kind.use(secret, shown=shown, by_page=PAGE))
        if answer.is_yes or kind is not LINKS[Purpose.CONFIRM]:
            return
        kind = SET_UP
    names = person.names if kind is SET_UP else {}
    answer = await browser.send(kind.use(secret, password, by_page=PAGE, **names))
    if answer.is_yes and kind is LINKS[Purpose.OBJECT]:
        secret = answer.location.rpartition("/")[2]
        await browser.send(LINKS[Purpose.RESET].use(secret, password, by_page=PAGE))
