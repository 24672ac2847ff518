"""Passwords: argon2id in a thread pool behind a bounded queue, and the check of their strength."""

import asyncio
import ctypes
import enum
import os
import re
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any, TypeVar, cast

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from quart import current_app
from werkzeug.local import LocalProxy
from werkzeug.security import check_password_hash

from app.config import Config
from app.errors import Busy, DomainError

Result = TypeVar("Result")

MAX_LENGTH = 128  # characters of the normal form
# What is read of a password before it is normalised: a Mac sends a syllable of Korean as up to
# three characters, and no character becomes more than 18.
MAX_RAW_LENGTH = 4 * MAX_LENGTH
BUSY = "Too many people are logging in right now. Try again in a few seconds."
M_ARENA_MAX = -8  # in glibc's malloc.h
TRIM_AFTER = 1.0  # seconds without a hash until memory is given back
ZXCVBN_LENGTH = 72  # zxcvbn raises on longer passwords; the first 72 characters decide
# zxcvbn tries every combination of letters that these characters may stand for, which takes eight
# seconds if all of them occur. So only the beginning of a long password is scored: 16 characters,
# and more as long as at most eight different ones of these occur (some 0.1 s).
SUBSTITUTES, MOST_SUBSTITUTES = frozenset("4@8({[<3691!|7025$+%"), 8


class WeakPassword(DomainError):
    """The password is too short, too long or too easy to guess."""

    code = "weak-password"
    status = 422


class Match(enum.IntEnum):
    """Whether a password is right, and whether its hash is to be replaced at log-in."""

    NO = 0
    YES = 1
    OUTDATED = 2  # right, but the hash is flask-base's, has other parameters or is of other text


def normal_password(password: str) -> str:
    """Return the form that is hashed: NFKC, as NIST SP 800-63B advises.

    Keyboards and systems spell one text differently: macOS sends é as e and an accent.
    """
    return unicodedata.normalize("NFKC", password)


class Passwords:
    """Hash, verify and score passwords without blocking the event loop.

    A hash takes tens of milliseconds and 19 MiB, so there are as many threads as cores, with a
    bounded queue in front. When the queue is full, `Busy` is raised at once, so that a flood of
    log-ins does not take the process down.
    """

    def __init__(self, settings: Config) -> None:
        self._hasher = PasswordHasher(
            memory_cost=settings.ARGON2_MEMORY_COST,
            time_cost=settings.ARGON2_TIME_COST,
            parallelism=settings.ARGON2_PARALLELISM,
        )
        self._trim = _prepare_trim()
        self._trimming: asyncio.TimerHandle | None = None
        cores = os.cpu_count() or 1
        self._executor = ThreadPoolExecutor(
            cores, thread_name_prefix="passwords", initializer=_lower_priority
        )
        self._free = self._free_slots = settings.PASSWORD_QUEUE + cores
        self._min_length = settings.PASSWORD_MIN_LENGTH
        self._min_score = settings.PASSWORD_MIN_SCORE
        # Verified for unknown users, so that they take as long as known ones.
        self._dummy = self._hasher.hash("no password of anybody")

    @contextmanager
    def queue_slot(self) -> Iterator[None]:
        """Reserve a slot of the queue for the length of a block.

        Raises `Busy` when none is free, before the block has cost anything, even a query.
        """
        if self._free_slots <= 0:
            raise Busy(BUSY)
        self._free_slots -= 1
        try:
            yield
        finally:
            self._free_slots += 1

    async def hash(self, password: str) -> str:
        """Return the argon2id hash of a password, with its parameters and salt."""
        return await self._run(self._hasher.hash, normal_password(password))

    async def verify(self, password_hash: str | None, password: str) -> Match:
        """Return whether the password matches the hash.

        Without a hash the answer is no, and takes as long.
        """
        match = await self._run(self._match, password_hash or self._dummy, password)
        return match if password_hash is not None else Match.NO

    async def strength(self, password: str, bad_words: Iterable[str] = ()) -> tuple[int, str]:
        """Return the zxcvbn score of a password, 0 to 4, and why it is refused ("" if it is not).

        `bad_words` are what an attacker who knows the user would try first, such as their name.
        """
        password = normal_password(password)
        words = [
            part
            for word in map(normal_password, bad_words)
            for part in (word, *re.split(r"[@.\s]+", word))
            if len(part) > 2
        ]
        result = await self._run(_score, password[:MAX_LENGTH], words)
        score: int = result["score"]
        if not self._min_length <= len(password) <= MAX_LENGTH:
            return score, f"Use {self._min_length} to {MAX_LENGTH} characters."
        if score >= self._min_score:
            return score, ""
        advice = [result["feedback"]["warning"], *result["feedback"]["suggestions"]]
        reasons = " ".join(sentence.rstrip(".") + "." for sentence in advice if sentence)
        return score, f"This password is easy to guess. {reasons}".strip()

    async def require_strong(
        self, password: str, bad_words: Iterable[str] = (), field: str = "password"
    ) -> None:
        """Raise `WeakPassword` for this form field unless the password is strong enough."""
        _, wrong = await self.strength(password, bad_words)
        if wrong:
            raise WeakPassword(wrong, field=field)

    def close(self) -> None:
        """Stop the threads and drop what is queued."""
        if self._trimming:
            self._trimming.cancel()
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _match(self, password_hash: str, password: str) -> Match:
        normal = normal_password(password)
        if self._matches(password_hash, normal):
            return Match.OUTDATED if self._is_outdated(password_hash) else Match.YES
        # An earlier release hashed what was sent, by a system that composes accents or one that
        # does not. Whose hash it is makes no difference to the time.
        sent = [password, *(unicodedata.normalize(form, password) for form in ("NFC", "NFD"))]
        if any(
            self._matches(password_hash, each) for each in dict.fromkeys(sent) if each != normal
        ):
            return Match.OUTDATED
        return Match.NO

    def _is_outdated(self, password_hash: str) -> bool:
        try:
            return self._hasher.check_needs_rehash(password_hash)
        except InvalidHashError:
            return True

    def _matches(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except VerificationError:
            return False
        except InvalidHashError:
            return _matches_werkzeug_hash(password_hash, password)

    async def _run(self, function: Callable[..., Result], *args: object) -> Result:
        if self._free <= 0:
            raise Busy(BUSY)
        self._free -= 1
        future = self._executor.submit(function, *args)
        loop = asyncio.get_running_loop()

        def release(_: Future[Result]) -> None:
            # A cancelled caller frees nothing: the thread is busy until its work is done.
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._release)

        future.add_done_callback(release)
        return await asyncio.wrap_future(future)

    def _release(self) -> None:
        self._free += 1
        if self._trimming:
            self._trimming.cancel()
        self._trimming = asyncio.get_running_loop().call_later(TRIM_AFTER, self._give_back)

    def _give_back(self) -> None:
        with suppress(RuntimeError):  # the threads have been stopped
            self._executor.submit(self._trim, 0)


def _prepare_trim() -> Callable[[int], object]:
    """Return a function that gives freed memory back to the system.

    glibc keeps the buffers of hashes, 19 MiB each. It can give back what lies in its main arena, so
    threads get no others. To have each buffer mapped and unmapped would make a hash take half as
    long again. See mallopt(3) and malloc_trim(3); elsewhere the function does nothing.
    """
    libc: Any = ctypes.CDLL(None) if sys.platform == "linux" else None
    if not hasattr(libc, "malloc_trim"):
        return lambda _: None
    libc.mallopt(M_ARENA_MAX, 1)
    return cast(Callable[[int], object], libc.malloc_trim)


def _score(password: str, words: list[str]) -> dict[str, Any]:
    """Score a password with zxcvbn, with and without these words, and return the worse result.

    By itself zxcvbn scores several known words in a row as hard to guess.
    """
    fit = (
        n
        for n in range(16, len(password))
        if len(SUBSTITUTES & set(password[: n + 1])) > MOST_SUBSTITUTES
    )
    password = password[: next(fit, ZXCVBN_LENGTH)]
    known = "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))
    rest = re.sub(known, "", password, flags=re.IGNORECASE) if words else password
    # Imported late: its dictionaries take 13 MiB, and most processes see no new password.
    from zxcvbn import zxcvbn

    found: dict[str, Any] = zxcvbn(password, words)
    if rest != password and (worse := zxcvbn(rest or " ", words))["score"] < found["score"]:
        worse["feedback"]["warning"] = "Your own name and email address are easy to guess"
        return cast(dict[str, Any], worse)
    return found


def _matches_werkzeug_hash(password_hash: str, password: str) -> bool:
    """Verify a `pbkdf2:` or `scrypt:` hash that flask-base made."""
    try:
        return check_password_hash(password_hash, password)
    except ValueError:  # not a hash of werkzeug either
        return False


def _lower_priority() -> None:
    """Run this thread at a lower priority than the event loop's."""
    if sys.platform == "linux":  # elsewhere niceness applies to the whole process
        os.nice(10)


passwords = cast(Passwords, LocalProxy(lambda: current_app.extensions["passwords"]))
