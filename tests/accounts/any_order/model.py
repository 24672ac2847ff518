"""The model: what accounts, sessions and links there are, and which of them work."""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, tzinfo

from hypothesis import note

from app.auth.models import Purpose
from app.config import Config
from tests.accounts.surfaces import LINKS
from tests.factories.people import PASSWORD

# Few, so that they meet again and again.
EMAILS = [
    *(f"{name}@example.com" for name in ("ada", "bob", "cyd")),
    "dän@bücher.example",
    "eve@example.com",
]
PASSWORDS = [PASSWORD, "nine green lanterns hum", "three copper anchors drift"]
NAMES = [("Robin", "Example"), ("Kim", "Guest"), ("Mallory", "Sly")]

REVOCABLE = frozenset(Purpose) - {Purpose.OBJECT}  # what a new password ends


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


@dataclass(eq=False)
class Proof:
    """A credential, valid or not: a session, an API token or a mailed link.

    A link without a secret is prepared: its mail has not been sent yet.
    """

    purpose: Purpose
    owner: Account
    created: datetime
    expires: datetime
    secret: str | None = None
    # Of links: the address it is for, the one it was mailed to, and what takes effect with it.
    email: str | None = None
    mailed_to: str | None = None
    pending: tuple[tuple[str, str], Password] | None = None
    # Of sessions and tokens: when it was last used, and when the password was last checked.
    used: datetime | None = None
    shown: datetime | None = None
    remember: bool = False


Mail = tuple[str, str, Proof | None]  # its recipient, its subject, and the link in it


class World:
    """What there should be, as far as the steps so far say."""

    settings: Config
    clock: Clock

    def _forget(self) -> None:
        self.accounts: list[Account] = []
        self.sessions: list[Proof] = []  # and API tokens
        self.links: dict[Purpose, list[Proof]] = {purpose: [] for purpose in LINKS}
        self.prepared: list[Proof] = []
        # What the worker will mail, as things stand when it does.
        self.queue: list[Callable[[], Mail | None]] = []
        self.hashes: dict[str, Password] = {}
        # What must hold whatever the model says: addresses that an account has proved, and had.
        self.proven: dict[int, set[str]] = {}
        self.had: dict[int, str] = {}
        self.may_move: set[tuple[int, str]] = set()

    @property
    def proofs(self) -> list[Proof]:
        """Every credential that was ever given out or prepared."""
        links = (link for links in self.links.values() for link in links)
        return [*self.sessions, *self.prepared, *links]

    def _at(self, email: str) -> Account | None:
        return next((account for account in self.accounts if account.email == normal(email)), None)

    def _pick(self, proofs: list[Proof], n: int) -> Proof:
        """Return a credential: 0 is the newest valid one, 1 the one before; below 0 any of them."""
        alive = [proof for proof in proofs if self._is_alive(proof)]
        return alive[-1 - n % len(alive)] if alive and n >= 0 else proofs[n % -len(proofs)]

    def _session(self, n: int) -> Proof:
        return self._pick(self.sessions, n)

    def _link(self, purpose: Purpose, n: int) -> Proof:
        link = self._pick(self.links[purpose], n)
        note(
            f"{purpose} link of {link.owner.email} for {link.email}, "
            f"{'alive' if self._is_alive(link) else 'dead'}"
        )
        return link

    def _is_alive(self, proof: Proof) -> bool:
        return (
            proof.expires > self.clock.time
            and proof.owner in self.accounts
            and not proof.owner.disabled
        )

    def _is_recognised(self, by: Proof, page: bool) -> bool:
        return self._is_alive(by) and (by.purpose is Purpose.SESSION or not page)

    def _expected(self, by: Proof, page: bool, password: str | None = None) -> int:
        if not self._is_recognised(by, page):
            return 401
        return 200 if password is None or knows(by.owner, password) else 403

    def _end(self, *proofs: Proof) -> None:
        for proof in proofs:
            proof.expires = min(proof.expires, self.clock.time)

    def _end_all(
        self,
        account: Account,
        purposes: frozenset[Purpose] | set[Purpose] = REVOCABLE,
        but: Proof | None = None,
    ) -> None:
        self._end(
            *(
                p
                for p in self.proofs
                if p.owner is account and p.purpose in purposes and p is not but
            )
        )

    def _touch(self, by: Proof) -> None:
        now = self.clock.time
        if by.used and now - by.used > timedelta(seconds=self.settings.SESSION_TOUCH):
            by.used = now
            if by.purpose is Purpose.SESSION:
                by.expires = self._expiry(by.created, by.remember)

    def _expiry(self, began: datetime, remember: bool) -> datetime:
        idle = self.settings.SESSION_IDLE_REMEMBERED if remember else self.settings.SESSION_IDLE
        latest = began + timedelta(seconds=self.settings.SESSION_LIFETIME)
        return min(self.clock.time + timedelta(seconds=idle), latest)

    def _new_link(self, purpose: Purpose, owner: Account, email: str | None = None) -> Proof:
        now = self.clock.time
        lifetime: int = getattr(self.settings, f"{purpose.upper()}_LIFETIME")
        return Proof(
            purpose, owner, now, now + timedelta(seconds=lifetime), email=email or owner.email
        )

    def _prepare(
        self,
        purpose: Purpose,
        owner: Account,
        *,
        email: str | None = None,
        pending: tuple[tuple[str, str], Password] | None = None,
    ) -> None:
        prepared = self._new_link(purpose, owner, email)
        prepared.pending = pending
        self.prepared.append(prepared)

        def mail() -> Mail | None:
            if not self._is_alive(prepared) or (purpose is Purpose.CONFIRM and owner.confirmed):
                return None
            return str(prepared.email), LINKS[purpose].subject, replace(prepared)

        self.queue.append(mail)

    def _reset(self, account: Account) -> Mail | None:
        if account not in self.accounts or account.disabled:
            return None
        purpose = Purpose.INVITE if account.is_invited else Purpose.RESET
        return account.email, LINKS[purpose].subject, self._new_link(purpose, account)

    def _will_mail(self, account: Account, subject: str) -> None:
        self.queue.append(
            lambda: (account.email, subject, None) if account in self.accounts else None
        )

    def _move(self, link: Proof) -> None:
        squatter = self._at(str(link.email))
        if squatter and squatter is not link.owner:
            self.accounts.remove(squatter)
        link.owner.email, link.owner.confirmed = str(link.email), True
        self.may_move.add((link.owner.id, str(link.mailed_to)))

    def _outcome(self, link: Proof) -> int:
        owner, other = link.owner, self._at(str(link.email))
        if not self._is_alive(link):
            return 410
        if link.purpose in (Purpose.CHANGE_EMAIL, Purpose.OBJECT):
            return 409 if other and other is not owner and other.confirmed else 200
        is_late = {
            Purpose.CONFIRM: owner.confirmed,
            Purpose.INVITE: not owner.is_invited,
            Purpose.RESET: False,
        }
        return 410 if other is not owner or is_late[link.purpose] else 200


def right(account: Account | None) -> str:
    return account.password.words if account and account.password else PASSWORDS[0]


def knows(account: Account, password: str) -> bool:
    return account.password is not None and account.password.words == password
