"""The shell: a prompt or a script from stdin, in the app's context, with top-level `await`."""

import ast
import asyncio
import code
import contextlib
import inspect
import sys
import traceback
import types
from typing import Any

import click
from sqlalchemy import select

from app import application
from app.auth.models import Role, User
from app.database import db


class AsyncConsole(code.InteractiveConsole):
    """A console that supports `await`, always on the same event loop and in the same context."""

    def __init__(self, names: dict[str, Any], runner: asyncio.Runner) -> None:
        super().__init__(names)
        self.compile.compiler.flags |= ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        self.runner = runner

    def runcode(self, code: types.CodeType) -> None:
        """Run one statement; an error is shown and the prompt continues."""
        try:
            execute(code, self.locals, self.runner)
        except SystemExit:
            raise
        except BaseException:
            self.showtraceback()


def execute(compiled: types.CodeType, names: Any, runner: asyncio.Runner) -> None:
    """Run compiled code that may await at its top level."""
    result = types.FunctionType(compiled, names)()
    if inspect.iscoroutine(result):
        runner.run(result)


@click.command()
@click.pass_obj
def shell_command(config_name: str) -> None:
    """Open an async prompt, or run a script from stdin.

    It has app, db, session, select, User and Role. `await session.commit()` keeps what the session
    has written.
    """
    # One runner means one context: the app's context, entered first, holds for every statement.
    with asyncio.Runner() as runner:
        stack = contextlib.AsyncExitStack()
        names = runner.run(_enter(stack, config_name))
        try:
            if sys.stdin.isatty():
                _prompt(names, runner)
            else:
                _script(sys.stdin.read(), names, runner)
        finally:
            runner.run(stack.aclose())


async def _enter(stack: contextlib.AsyncExitStack, config_name: str) -> dict[str, Any]:
    app = await stack.enter_async_context(application(config_name))
    session = await stack.enter_async_context(db.session())
    return {
        "__name__": "__console__",
        "app": app,
        "db": db,
        "session": session,
        "select": select,
        "User": User,
        "Role": Role,
    }


def _script(source: str, names: dict[str, Any], runner: asyncio.Runner) -> None:
    """Run a whole script.

    Errors are shown as Python shows them, without the frames of the shell itself.
    """
    try:
        execute(
            compile(source, "<stdin>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names, runner
        )
    except Exception as error:
        shown = traceback.TracebackException.from_exception(error)
        own = [number for number, frame in enumerate(shown.stack) if frame.filename == "<stdin>"]
        shown.stack[:] = shown.stack[own[0] :] if own else []
        click.echo("".join(shown.format()), err=True, nl=False)
        sys.exit(1)


def _prompt(names: dict[str, Any], runner: asyncio.Runner) -> None:
    with contextlib.suppress(ImportError):  # Windows has no readline
        import readline
        import rlcompleter

        readline.set_completer(rlcompleter.Completer(names).complete)
        readline.parse_and_bind("tab: complete")
    AsyncConsole(names, runner).interact(
        banner=f"Defined: {', '.join(n for n in names if n[0] != '_')}. await works.", exitmsg=""
    )
