"""Passwords.

Argon2id in threads of its own behind a bounded queue, and what makes a password good enough.
"""

import asyncio
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from quart import current_app
from werkzeug.local import LocalProxy
from werkzeug.security import check_password_hash
from zxcvbn import zxcvbn

from app.config import Config
from app.errors import Busy, DomainError

Result = TypeVar("Result")

MAX_LENGTH = 128
BUSY = "Too many people are logging in at this moment. Try again in a few seconds."
ZXCVBN_LENGTH = 72  # zxcvbn raises on longer passwords; the first 72 characters decide
# It tries every combination of the letters that these may stand for: with all of them, for eight
# seconds. So beyond 16 characters the beginning decides that has at most eight different ones: some
# 0.1 s.
SUBSTITUTES, MOST_SUBSTITUTES = frozenset("4@8({[<3691!|7025$+%"), 8


class WeakPassword(DomainError):
    """The password would be guessed."""

    code = "weak-password"


class Passwords:
    """Hashes and verifies without holding up the event loop.

    Hashing takes tens of milliseconds and 19 MiB each, so there are as many threads as cores and a
    bounded queue before them: beyond it `Busy` is raised at once, which keeps a flood of log-ins
    from taking the whole process down.
    """

    def __init__(self, settings: Config) -> None:
        self._hasher = PasswordHasher(
            memory_cost=settings.ARGON2_MEMORY_COST,
            time_cost=settings.ARGON2_TIME_COST,
            parallelism=settings.ARGON2_PARALLELISM,
        )
        cores = os.cpu_count() or 1
        self._executor = ThreadPoolExecutor(
            cores, thread_name_prefix="passwords", initializer=_step_back
        )
        self._room = self._places = settings.PASSWORD_QUEUE + cores
        self._min_length = settings.PASSWORD_MIN_LENGTH
        self._min_score = settings.PASSWORD_MIN_SCORE
        # Verified in place of the hash of someone who does not exist, so that both take the same
        # time.
        self._dummy = self._hasher.hash("no password of anybody")

    @contextmanager
    def admission(self) -> Iterator[None]:
        """A place in the queue for the length of a block.

        Refused ones cost nothing, not even a look-up.

        Raises `Busy` when all are taken.
        """
        if self._places <= 0:
            raise Busy(BUSY)
        self._places -= 1
        try:
            yield
        finally:
            self._places += 1

    async def hash(self, password: str) -> str:
        """The argon2id hash of a password, with its parameters and salt."""
        return await self._run(self._hasher.hash, password)

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """Whether the password belongs to the hash.

        Without a hash it is wrong, and takes as long to find out.
        """
        matches = await self._run(self._matches, password_hash or self._dummy, password)
        return matches and password_hash is not None

    def is_outdated(self, password_hash: str) -> bool:
        """Whether a hash was made by flask-base, or with other parameters than today's.

        Log-in makes a new one.
        """
        try:
            return self._hasher.check_needs_rehash(password_hash)
        except InvalidHashError:
            return True

    async def strength(self, password: str, bad_words: Iterable[str] = ()) -> tuple[int, str]:
        """The zxcvbn score of a password, 0 to 4, and in words what is wrong with it.

        Nothing, and it is good enough.

        `bad_words` are what an attacker who knows the person tries first: their name, their
        address.
        """
        words = [
            part
            for word in bad_words
            for part in (word, *re.split(r"[@.\s]+", word))
            if len(part) > 2
        ]
        result = await self._run(_guess, password[:MAX_LENGTH], words)
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
        """Raise `WeakPassword`, about a field, unless the password is long and hard to guess."""
        _, wrong = await self.strength(password, bad_words)
        if wrong:
            raise WeakPassword(wrong, field=field)

    def close(self) -> None:
        """Let the threads end; what is queued is dropped."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _matches(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except VerificationError:
            return False
        except InvalidHashError:
            return _matches_werkzeugs(password_hash, password)

    async def _run(self, function: Callable[..., Result], *args: object) -> Result:
        if self._room <= 0:
            raise Busy(BUSY)
        self._room -= 1
        future = self._executor.submit(function, *args)
        loop = asyncio.get_running_loop()

        def make_room(_: Future[Result]) -> None:
            # The thread is free when the work is done, not when somebody has stopped waiting for
            # it.
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._make_room)

        future.add_done_callback(make_room)
        return await asyncio.wrap_future(future)

    def _make_room(self) -> None:
        self._room += 1


def _guess(password: str, words: list[str]) -> dict[str, Any]:
    """What zxcvbn thinks of a password, and of what is left of it without these words, whichever is
    worse.

    By itself it takes several words that an attacker knows, one after the other, for something that
    is hard to guess.
    """
    fit = (
        n
        for n in range(16, len(password))
        if len(SUBSTITUTES & set(password[: n + 1])) > MOST_SUBSTITUTES
    )
    password = password[: next(fit, ZXCVBN_LENGTH)]
    known = "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))
    rest = re.sub(known, "", password, flags=re.IGNORECASE) if words else password
    found: dict[str, Any] = zxcvbn(password, words)
    if rest != password and (worse := zxcvbn(rest or " ", words))["score"] < found["score"]:
        worse["feedback"]["warning"] = "Names and addresses that belong to you are known"
        return cast(dict[str, Any], worse)
    return found


def _matches_werkzeugs(password_hash: str, password: str) -> bool:
    """The same for the `pbkdf2:` and `scrypt:` hashes that flask-base made."""
    try:
        return check_password_hash(password_hash, password)
    except ValueError:  # parameters that are none
        return False


def _step_back() -> None:
    """Give this thread a lower priority than the event loop's, which must go on answering
    meanwhile.
    """
    if sys.platform == "linux":  # elsewhere niceness belongs to the whole process
        os.nice(10)


passwords = cast(Passwords, LocalProxy(lambda: current_app.extensions["passwords"]))
