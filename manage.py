#!/usr/bin/env python
"""The command line: `python manage.py COMMAND`.

The commands can be imported from here as plain functions too.
"""

import signal

if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    # Until a command begins, Ctrl-C ends this process at once: in the middle of an import an
    # exception would be a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import importlib
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from app import interruptions
from app.environment import chosen_config, load_environment
from app.patches.aiosqlite_closed_loops import let_threads_end_in_silence
from app.terminal import escape_what_stdout_lacks, printable

if TYPE_CHECKING:
    from app.accounts.commands import setup_dev, setup_prod
    from app.commands.database import recreate_db
    from app.commands.worker import run_worker
    from development.fake_data import add_fake_data

__all__ = ["add_fake_data", "recreate_db", "run_worker", "setup_dev", "setup_prod"]

# name → where the command is, and its line in `--help`, which stands here so that help need not
# import the application.
COMMANDS = {
    "serve": ("development.serve:serve", "Serve the application."),
    "shell": (
        "app.commands.shell:shell_command",
        "Open an async prompt, or run a script from stdin.",
    ),
    "db": ("app.commands.database:db_group", "Manage the database schema with migrations."),
    "recreate-db": (
        "app.commands.database:recreate_db_command",
        "Drop and create every table; all data is lost.",
    ),
    "setup-dev": (
        "app.accounts.commands:setup_dev_command",
        "Migrate the database, and create roles and the first administrator.",
    ),
    "setup-prod": (
        "app.accounts.commands:setup_prod_command",
        "Set up production: migrate, create roles and the first administrator.",
    ),
    "add-fake-data": (
        "development.fake_data:add_fake_data_command",
        "Add plausible users to a development database.",
    ),
    "create-admin": (
        "app.accounts.commands:create_admin_command",
        "Create an administrator, or promote a user to one.",
    ),
    "disable-user": (
        "app.accounts.commands:disable_user_command",
        "Shut a user out: they can no longer log in.",
    ),
    "enable-user": (
        "app.accounts.commands:enable_user_command",
        "Let a disabled user log in again.",
    ),
    "run-worker": ("app.commands.worker:run_worker_command", "Run the background worker."),
    "jobs": (
        "app.jobs.commands:jobs_group",
        "Look at background jobs, and retry, discard or run them.",
    ),
    "routes": (
        "app.commands.inspect:routes_command",
        "List every route with its access and limit.",
    ),
    "openapi": (
        "app.commands.inspect:openapi_command",
        "Print the specification of the API.",
    ),
    "check": (
        "app.commands.inspect:check_command",
        "Check this installation and report problems.",
    ),
    "test": ("development.quality:test_command", "Run the tests; arguments go to pytest."),
    "lint": (
        "development.quality:lint_command",
        "Check format, lint, types, import contract and migrations.",
    ),
    "format": ("development.quality:format_command", "Format the code and sort its imports."),
}
ALIASES = {"runserver": "serve"}

# The plain functions, for `from manage import …`.
FUNCTIONS = {
    "recreate_db": "app.commands.database",
    "setup_dev": "app.accounts.commands",
    "setup_prod": "app.accounts.commands",
    "add_fake_data": "development.fake_data",
    "run_worker": "app.commands.worker",
}


def __getattr__(name: str) -> Callable[..., Any]:
    """Import the function of a command on first access."""
    if name not in FUNCTIONS:
        raise AttributeError(f"module 'manage' has no attribute {name!r}")
    function: Callable[..., Any] = getattr(importlib.import_module(FUNCTIONS[name]), name)
    return function


class LazyGroup(click.Group):
    """A group that imports a command when it is run, and reports expected errors as one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the names in the order of `COMMANDS`."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command of this name; underscores and dashes are the same."""
        name = cmd_name.replace("_", "-")
        name = ALIASES.get(name, name)
        if name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[name][0].partition(":")
        try:
            with interruptions.before_anything_begins():
                command: click.Command = getattr(importlib.import_module(module), attribute)
        except ModuleNotFoundError as error:
            if error.name is None or error.name.split(".")[0] in ("app", "manage", "worker"):
                raise
            if error.name == "development":  # the Docker image does not have it
                instead = (
                    " Run: hypercorn -c hypercorn.toml app.asgi:app" if name == "serve" else ""
                )
                raise click.ClickException(f"{name} needs a full checkout.{instead}") from None
            raise click.ClickException(
                f"{name} needs {error.name}, which is not installed. Run: pip install -c "
                "constraints.txt -e '.[test]'"
            ) from None
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the lines of `COMMANDS`, without importing the commands."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])

    def main(self, *args: Any, **options: Any) -> Any:
        """Run the command line."""
        try:
            return super().main(*args, **options)
        except OSError as error:  # help is written before a command is invoked
            if not error.strerror:  # `invoke` has let it pass: it is one of the application
                raise
            interruptions.drop_unwritable_output()
            sys.exit(f"Error: The output cannot be used: {error.strerror}.")

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command.

        Errors that its user can fix are one line; all others have a traceback.
        """
        signals = interruptions.Signals()
        try:
            with signals.as_interrupts():
                result = super().invoke(ctx)
                interruptions.flush_output()  # an error of it is one of the command, too
                return result
        except (click.ClickException, click.exceptions.Exit):
            raise
        except (KeyboardInterrupt, click.Abort) as error:
            raise interruptions.ended_by(error, signals.first) from None
        except BrokenPipeError:
            interruptions.end_in_silence()
        except Exception as error:
            # Imported late, as the commands are: it knows the errors of every library.
            from app.commands.failures import explain

            if (explanation := explain(error)) is None:
                raise
            interruptions.drop_unwritable_output()
            words = " ".join([explanation, *getattr(error, "__notes__", [])])
            raise click.ClickException(printable(words, lines=True)) from None


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "-c",
    "--config",
    "config_name",
    metavar="NAME",
    help="The configuration to use [default: $QUART_CONFIG].",
)
@click.pass_context
def cli(ctx: click.Context, config_name: str | None) -> None:
    """Serve, set up and maintain the application."""
    load_environment()
    ctx.obj = config_name or chosen_config()


if __name__ == "__main__":
    escape_what_stdout_lacks()
    let_threads_end_in_silence()
    try:
        cli()
    except SystemExit as end:
        interruptions.end_process(end)
