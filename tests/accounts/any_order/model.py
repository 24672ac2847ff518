"""The model: what accounts, sessions, known devices and links there are, and which of them work."""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo

from hypothesis import note

from app.auth.models import Purpose
from app.config import Config
from tests.accounts.surfaces import LINKS, SET_UP
from tests.factories.people import PASSWORD

# Few, so that they meet again and again.
EMAILS = [
    *(f"{name}@example.com" for name in ("ada", "bob", "cyd")),
    "dän@bücher.example",
    "eve@example.com",
]
PASSWORDS = [PASSWORD, "nine green lanterns hum", "three copper anchors drift"]
NAMES = [("Robin", "Example"), ("Kim", "Guest"), ("Mallory", "Sly")]
BROWSERS = ["d" * 43, "e" * 43]  # by their device cookies

EVERYTHING = frozenset(Purpose)
REVOCABLE = EVERYTHING - {Purpose.OBJECT, Purpose.DEVICE}  # what a new password ends


def spellings(email: str) -> list[str]:
    """Return how people, a Mac and a browser's field spell an address."""
    decomposed = unicodedata.normalize("NFD", email)
    encoded = email.replace("bücher", "xn--bcher-kva")
    return [email, email.title(), email.upper(), decomposed, encoded]


NORMAL = {spelling: email for email in EMAILS for spelling in spellings(email)}


def normal(spelling: str) -> str:
    """Return the address that this is a spelling of."""
    return NORMAL.get(spelling) or NORMAL.get(spelling.lower(), spelling.lower())


class Clock:
    """The app's clock: each look at it takes a millisecond, and a test can let more time pass."""

    def __init__(self) -> None:
        self.time = datetime.now(UTC)

    def now(self, zone: tzinfo) -> datetime:
        self.time += timedelta(milliseconds=1)
        return self.time.astimezone(zone)


@dataclass(eq=False)
class Password:
    """A password hash: there may be several of the same words."""

    words: str


@dataclass(eq=False)
class Account:
    """An account as it should be."""

    email: str
    names: tuple[str, str]
    password: Password | None
    confirmed: bool = False
    disabled: bool = False
    id: int = 0

    @property
    def is_invited(self) -> bool:
        return self.password is None and not self.confirmed

    @property
    def greeting(self) -> str:
        """The name in mails, which nobody gets who has not proved the mailbox."""
        return self.names[0] if self.confirmed else ""


@dataclass(eq=False)
class Proof:
    """A credential, valid or not: a session, an API token, a known device or a mailed link.

    A link without a secret is prepared: its mail has not been sent yet.
    """

    purpose: Purpose
    owner: Account | None  # none of a link that confirms an address, which belongs to that alone
    created: datetime
    expires: datetime
    secret: str | None = None
    # Of links: the address it is for, the one it was mailed to, and the account that it confirms.
    email: str | None = None
    mailed_to: str | None = None
    registration: Account | None = None
    # Of sessions and tokens: when it was last used, and when the password was last checked.
    used: datetime | None = None
    shown: datetime | None = None
    remember: bool = False

    @property
    def user(self) -> Account:
        """The owner of a credential that has one."""
        assert self.owner
        return self.owner


# Its recipient, its subject, the name that it greets by, and the link in it.
Mail = tuple[str, str, str, Proof | None]


class World:
    """What there should be, as far as the steps so far say."""

    settings: Config
    clock: Clock

    def _forget(self) -> None:
        self.accounts: list[Account] = []
        self.sessions: list[Proof] = []  # and API tokens
        self.devices: list[Proof] = []
        self.browser = BROWSERS[0]  # that the present step is taken in
        self.links: dict[Purpose, list[Proof]] = {purpose: [] for purpose in LINKS}
        self.prepared: list[Proof] = []
        # What the worker will mail, as things stand when it does.
        self.queue: list[Callable[[], Mail | None]] = []
        self.asked: dict[Callable[[], Mail | None], str] = {}  # for links to which addresses
        self.hashes: dict[str, Password] = {}
        # What must hold whatever the model says: addresses that an account has proved, and had.
        self.proven: dict[Account, set[str]] = {}
        self.had: dict[Account, str] = {}
        self.may_move: set[tuple[Account, str]] = set()

    @property
    def proofs(self) -> list[Proof]:
        """Every credential that was ever given out or prepared."""
        links = (link for links in self.links.values() for link in links)
        return [*self.sessions, *self.devices, *self.prepared, *links]

    def _at(self, email: str) -> Account | None:
        return next((account for account in self.accounts if account.email == normal(email)), None)

    def _settled_at(self, email: str) -> Account | None:
        """Return the account that keeps others from an address."""
        account = self._at(email)
        return account if account and (account.confirmed or account.disabled) else None

    def _pick(self, proofs: list[Proof], n: int) -> Proof:
        """Return a credential: 0 is the newest valid one, 1 the one before; below 0 any of them."""
        alive = [proof for proof in proofs if self._is_alive(proof)]
        return alive[-1 - n % len(alive)] if alive and n >= 0 else proofs[n % -len(proofs)]

    def _session(self, n: int) -> Proof:
        return self._pick(self.sessions, n)

    def _link(self, purpose: Purpose, n: int) -> Proof:
        link = self._pick(self.links[purpose], n)
        whose = link.owner.email if link.owner else "nobody"
        state = "alive" if self._is_alive(link) else "dead"
        note(f"{purpose} link of {whose} for {link.email}, {state}")
        return link

    def _is_alive(self, proof: Proof) -> bool:
        exists = proof.owner is None or proof.owner in self.accounts
        return exists and proof.expires > self.clock.time

    def _is_usable(self, link: Proof) -> bool:
        is_late = link.purpose is Purpose.CONFIRM and self._settled_at(str(link.email))
        return self._is_alive(link) and not is_late

    def _is_recognised(self, by: Proof, page: bool) -> bool:
        return self._is_alive(by) and (by.purpose is Purpose.SESSION or not page)

    def _is_signed_in(self, by: Proof | None, page: bool, account: Account | None) -> bool:
        return by is not None and by.owner is account and self._is_recognised(by, page)

    def _expected(
        self, by: Proof, page: bool, password: str | None = None, *, tokens_too: bool = False
    ) -> int:
        if not self._is_recognised(by, page):
            return 401
        if by.purpose is Purpose.TOKEN and not tokens_too:
            return 403
        return 200 if password is None or knows(by.user, password) else 403

    def _end(self, *proofs: Proof) -> None:
        for proof in proofs:
            proof.expires = min(proof.expires, self.clock.time)

    def _end_all(
        self,
        account: Account,
        purposes: frozenset[Purpose] | set[Purpose] = REVOCABLE,
        but: Proof | None = None,
    ) -> None:
        owned = [proof for proof in self.proofs if proof.owner is account and proof is not but]
        self._end(*(proof for proof in owned if proof.purpose in purposes))

    def _end_confirmations(self, email: str) -> None:
        self._end(*(link for link in self.links[Purpose.CONFIRM] if link.email == email))
        self.queue = [mail for mail in self.queue if self.asked.get(mail) != email]

    def _device(self, account: Account) -> Proof | None:
        """Return what makes the present browser known to an account, valid or not."""
        mine = (each for each in self.devices if each.owner is account)
        return next((each for each in mine if each.secret == self.browser), None)

    def _remember(self, account: Account) -> None:
        now = self.clock.time
        device = self._device(account)
        if device is None:
            device = Proof(Purpose.DEVICE, account, now, now, self.browser)
            self.devices.append(device)
        device.expires = now + timedelta(seconds=self.settings.DEVICE_LIFETIME)

    def _touch(self, by: Proof) -> None:
        now = self.clock.time
        is_first = by.purpose is Purpose.TOKEN and by.used == by.created
        is_due = by.used and now - by.used > timedelta(seconds=self.settings.SESSION_TOUCH)
        if is_first or is_due:
            by.used = now
            if by.purpose is Purpose.SESSION:
                by.expires = self._expiry(by.created, by.remember)

    def _expiry(self, began: datetime, remember: bool) -> datetime:
        idle = self.settings.SESSION_IDLE_REMEMBERED if remember else self.settings.SESSION_IDLE
        latest = began + timedelta(seconds=self.settings.SESSION_LIFETIME)
        return min(self.clock.time + timedelta(seconds=idle), latest)

    def _new_link(
        self, purpose: Purpose, owner: Account | None, email: str, created: datetime | None = None
    ) -> Proof:
        created = created or self.clock.time
        lifetime: int = getattr(self.settings, f"{purpose.upper()}_LIFETIME")
        return Proof(purpose, owner, created, created + timedelta(seconds=lifetime), email=email)

    def _prepare(self, purpose: Purpose, owner: Account, email: str | None = None) -> None:
        """Prepare a link of an account, which is mailed as things stand then."""
        prepared = self._new_link(purpose, owner, email or owner.email)
        self.prepared.append(prepared)

        def mail() -> Mail | None:
            to = str(prepared.email)
            if not self._is_alive(prepared):
                return None
            if purpose is Purpose.CHANGE_EMAIL and (taken := self._settled_at(to)):
                self._end(prepared)
                return None if taken.disabled else already_registered(taken)
            name = owner.greeting if owner.email == to else ""
            return to, LINKS[purpose].subject, name, replace(prepared)

        self.queue.append(mail)

    def _will_notify(self, account: Account, subject: str, name: str | None = None) -> None:
        """Tell an account of something: to whom and by which name is settled when it happens."""
        mail = (account.email, subject, account.greeting if name is None else name, None)
        self.queue.append(lambda: mail)

    def _confirmation(
        self, email: str, registration: Account | None, asked: datetime
    ) -> Mail | None:
        """Return the mail with a link that confirms an address."""
        link = self._new_link(Purpose.CONFIRM, None, email, asked)
        link.registration = registration
        is_first = registration is not None and self._at(email) is registration
        subject = (LINKS[Purpose.CONFIRM] if is_first else SET_UP).subject
        return (email, subject, "", link) if self._is_alive(link) else None

    def _move(self, link: Proof) -> None:
        """Give the owner of a link the address that it is for."""
        account, email = link.user, str(link.email)
        if account.email != email:
            if squatter := self._at(email):
                self.accounts.remove(squatter)
            self._end_confirmations(email)
            if account.confirmed:
                self._end_confirmations(account.email)
            account.email = email
        account.confirmed = True
        self.may_move.add((account, str(link.mailed_to)))

    def _outcome(self, link: Proof) -> int:
        """Return what the use of a link answers, by all but what its user has to show."""
        if not self._is_usable(link):
            return 410
        owner, email = link.owner, str(link.email)
        if link.purpose in (Purpose.CHANGE_EMAIL, Purpose.OBJECT):
            return 409 if self._settled_at(email) not in (None, owner) else 200
        if owner and link.purpose in (Purpose.RESET, Purpose.INVITE):
            is_for = owner.is_invited if link.purpose is Purpose.INVITE else owner.confirmed
            return 200 if is_for and owner.email == email else 410
        return 200


def already_registered(account: Account) -> Mail:
    return account.email, "You already have an account", account.greeting, None


def right(account: Account | None) -> str:
    return account.password.words if account and account.password else PASSWORDS[0]


def knows(account: Account, password: str) -> bool:
    return account.password is not None and account.password.words == password
