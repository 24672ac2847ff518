"""How a shell ends a command: by a signal, or by a pipe that nobody reads any more."""

import contextlib
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Iterator
from types import FrameType
from typing import Any, ClassVar, NoReturn, TypeVar

import click

# As shells report a process that one of these has ended. SIGHUP: the terminal was closed.
ENDING = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
STOPPED = "Stopped by {}. What it had finished stays; run it again for the rest."
NO_INPUT = (
    "It asks a question, and there is no more input to answer it. Run it in a terminal; if it asks "
    "for a password, add --password-stdin."
)
# Seconds within which a signal is the same once more: a terminal and `timeout` both send Ctrl-C.
ECHO = 0.5
JOB_THREAD = "job-thread"  # how names of threads begin in which jobs block
BROKEN_PIPE = 128 + 13  # SIGPIPE, by which other programs end


T = TypeVar("T")


class Interrupted(click.ClickException):
    """A signal has ended the command, which may have raised KeyboardInterrupt with words for it."""

    def __init__(self, signum: int, words: str = "") -> None:
        super().__init__(words or STOPPED.format(signal.Signals(signum).name))
        self.exit_code = 128 + signum  # type: ignore[misc]  # click itself sets it on instances


def ended_by(error: BaseException, signum: int) -> click.ClickException:
    """Return the error of a command that this signal has ended, or the end of its input."""
    if isinstance(error, click.Abort) and isinstance(error.__context__, EOFError):
        return click.ClickException(NO_INPUT)
    return Interrupted(signum, str(error))


class Signals:
    """The signals that have reached this process. The first one is what ends the command."""

    current: ClassVar["Signals | None"] = None

    def __init__(self) -> None:
        self.heard: list[int] = []  # in the order in which they came

    @property
    def first(self) -> int:
        """Return the first one; SIGINT if there was none."""
        return self.heard[0] if self.heard else signal.SIGINT

    @contextlib.contextmanager
    def noted(self) -> Iterator[None]:
        """Note every signal that comes, whoever handles it: asyncio takes SIGINT for itself."""
        import socket  # late, for help

        reader, writer = socket.socketpair()
        with reader, writer:
            reader.setblocking(False)
            writer.setblocking(False)
            former = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
            Signals.current, self._reader = self, reader
            try:
                yield
            finally:
                self.read()
                Signals.current = None
                signal.set_wakeup_fd(former)

    def read(self) -> None:
        """Read what was noted."""
        with contextlib.suppress(BlockingIOError):
            self.heard += [number for number in self._reader.recv(4096) if number in ENDING]

    @contextlib.contextmanager
    def as_interrupts(self) -> Iterator[None]:
        """Treat every signal that ends a process as Ctrl-C, so that a command can clean up.

        Python itself does so for SIGINT alone. What `nohup` ignores stays ignored.
        """

        def interrupt(signum: int, frame: FrameType | None) -> None:
            self.read()
            self.heard.append(signum)  # an event loop that was closed may have ended the noting
            if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
                _interrupt_unheard()
            else:
                signal.raise_signal(signal.SIGINT)

        unhandled = {each for each in ENDING if signal.getsignal(each) is signal.SIG_DFL}
        sigint = unhandled & {signal.SIGINT}  # manage.py has left Python's own handler out
        with (
            self.noted(),
            _handled(unhandled - sigint, interrupt),
            _handled(sigint, signal.default_int_handler),
        ):
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
    """Yield what tells whether no signal has come; a second one is a KeyboardInterrupt.

    For commands that work in batches, and that say at their end how much was done.
    """
    pressed: list[bool] = []
    with _handled(_heard(), _at_first_and_again(lambda: pressed.append(True), _raise)):
        yield lambda: not pressed


def _at_first_and_again(
    first: Callable[[], object], again: Callable[[], object]
) -> Callable[..., None]:
    """Return a handler of signals that passes over the echoes of the first one."""
    times: list[float] = []

    def handle(*_: object) -> None:
        times.append(time.monotonic())
        if len(times) == 1:
            first()
        elif times[-1] - times[0] > ECHO:
            again()

    return handle


def run(coroutine: Coroutine[Any, Any, T], last_words: Callable[[], str]) -> T:
    """Run a coroutine as `asyncio.run` does. Raises KeyboardInterrupt if a signal has cancelled it.

    Another signal ends this process at once, with these last words: it may be long in ending, and
    asyncio would wait for it.
    """
    import asyncio  # late, as above

    async def inside() -> T:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()

        def cancel() -> None:
            loop.call_soon_threadsafe(task.cancel)  # type: ignore[union-attr]

        handler = _at_first_and_again(cancel, lambda: end_at_once(last_words()))
        with _handled(_heard(), handler):
            return await coroutine

    try:
        with contextlib.closing(coroutine):
            return asyncio.run(inside())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


def end_at_once(words: str) -> NoReturn:
    """End this process with an error, and whatever it is doing with it."""
    status = 1
    if signals := Signals.current:
        signals.read()
        if signals.heard:
            status = 128 + signals.first
    with contextlib.suppress(Exception):  # in the middle of writing something else, for example
        drop_unwritable_output()
        click.echo(f"Error: {words}", err=True)
        logging.shutdown()
    os._exit(status)


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
