"""What a worker says of a service that is away: once, then now and then, and when it is back."""

import logging
import time

logger = logging.getLogger("app.jobs")

SAID_EVERY = 60  # seconds, while the error is the same


class Outage:
    """One thing that cannot be done while a service is away."""

    def __init__(self, words: str) -> None:
        self._words = words  # "Jobs cannot be looked for"
        self._error = ""
        self._said_at = 0.0

    def goes_on(self, error: BaseException) -> None:
        """Log the error, unless it has been said within a minute."""
        text = f"{type(error).__name__}: {error}"
        if text != self._error or time.monotonic() - self._said_at >= SAID_EVERY:
            logger.error("%s: %s", self._words, text)
            self._error, self._said_at = text, time.monotonic()

    def is_over(self) -> None:
        """Log that it is possible again, if it was not."""
        if self._error:
            logger.warning("%s: that is over", self._words)
            self._error = ""
