"""How a shell ends a command: by a signal, or by a pipe that nobody reads any more."""

import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from types import FrameType
from typing import Any, NoReturn

import click

# As shells report a process that one of these has ended. SIGHUP: the terminal was closed.
ENDING = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
STOPPED = "Stopped by {}. What it had finished stays; run it again for the rest."
JOB_THREAD = "job-thread"  # how names of threads begin in which jobs block
BROKEN_PIPE = 128 + 13  # SIGPIPE, by which other programs end


class Interrupted(click.ClickException):
    """A signal has ended the command, which may have raised KeyboardInterrupt with words for it."""

    def __init__(self, signum: int, words: str = "") -> None:
        super().__init__(words or STOPPED.format(signal.Signals(signum).name))
        self.exit_code = 128 + signum  # type: ignore[misc]  # click itself sets it on instances


class Signals:
    """The signals that have reached this process. The first one is what ends the command."""

    def __init__(self) -> None:
        self.first: int = signal.SIGINT

    @contextlib.contextmanager
    def as_interrupts(self) -> Iterator[None]:
        """Treat every signal that ends a process as Ctrl-C, so that a command can clean up.

        Python itself does so for SIGINT alone. What `nohup` ignores stays ignored.
        """

        def interrupt(signum: int, frame: FrameType | None) -> None:
            self.first = signum
            if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
                _interrupt_unheard()
            else:
                signal.raise_signal(signal.SIGINT)

        unhandled = [each for each in ENDING[1:] if signal.getsignal(each) is signal.SIG_DFL]
        with _handled(unhandled, interrupt):
            yield


@contextlib.contextmanager
def _handled(signums: Iterable[int], handler: Any) -> Iterator[None]:
    before = {signum: signal.signal(signum, handler) for signum in signums}
    try:
        yield
    finally:
        for signum, former in before.items():
            signal.signal(signum, former)


def _heard() -> list[int]:
    """Return the signals that end this process: what `nohup` ignores stays ignored."""
    return [signum for signum in ENDING if signal.getsignal(signum) is not signal.SIG_IGN]


def _interrupt_unheard() -> None:
    """Interrupt as Ctrl-C would, which shells ignore for what a script starts in the background."""
    import asyncio  # late, for the commands that need no event loop

    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        raise KeyboardInterrupt from None
    # Not here, in the middle of some task, which would take it for an error of its own.
    loop.call_soon_threadsafe(_raise)


def _raise() -> NoReturn:
    raise KeyboardInterrupt


@contextlib.contextmanager
def before_anything_begins() -> Iterator[None]:
    """Let a signal end this process at once, without a word: while modules are imported.

    An exception in the middle of that would be a traceback, or be lost.
    """
    with _handled(_heard(), signal.SIG_DFL):
        yield


@contextlib.contextmanager
def until_interrupted() -> Iterator[Callable[[], bool]]:
    """Yield what tells whether nobody has pressed Ctrl-C; a second one is a KeyboardInterrupt.

    For commands that work in batches, and that say at their end how much was done.
    """
    pressed = []

    def note(*_: object) -> None:
        pressed.append(True)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    with _handled([signal.SIGINT], note):
        yield lambda: not pressed


def flush_output() -> None:
    """Write what has been printed. There may be no output at all, as after `>&-`."""
    if sys.stdout:
        sys.stdout.flush()


def drop_unwritable_output() -> None:
    """Forget what cannot be written: Python would try again at its exit, and complain once more."""
    try:
        flush_output()
    except OSError:
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def end_in_silence() -> None:
    """Exit because nobody reads the output any more, as every Unix tool does."""
    drop_unwritable_output()
    sys.exit(BROKEN_PIPE)


def end_process(end: SystemExit) -> NoReturn:
    """End this process, whose command has ended and said everything.

    Python would wait for threads that jobs have left, for ever if they are endless. A signal that
    comes now ends it without a word.
    """
    for signum in _heard():
        signal.signal(signum, signal.SIG_DFL)
    left = any(thread.name.startswith(JOB_THREAD) for thread in threading.enumerate())
    if left and isinstance(end.code, int | None):
        drop_unwritable_output()
        logging.shutdown()
        os._exit(end.code or 0)
    raise end
