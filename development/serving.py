"""The processes that `serve` runs.

`python -m development.serving ROLE CONFIGURATION [SOCKET [GRACE]]`.

ROLE is `prepare`, `web` or `worker`. SOCKET is the descriptor of a listening socket, GRACE the
seconds that requests get to finish. Standard input is a pipe from the supervisor, which never
writes to it: end of file means that the supervisor is gone.
"""

import asyncio
import importlib
import logging
import os
import signal
import sys
import threading
import time
import traceback

import click

from app.environment import PROJECT_ROOT, load_environment

# Exit status after a bug in the code, rather than a fault of the environment.
MISTAKE = os.EX_SOFTWARE

# Longer than any request or job may take to finish.
LAST_RESORT = 35  # seconds


def main(role: str, config_name: str, *arguments: str) -> int:
    """Run one of the processes and return its exit status.

    An error that the user can fix is one line, a bug a traceback.
    """
    threading.Thread(target=_end_with_supervisor, daemon=True).start()
    try:
        load_environment()
        if role == "prepare":
            prepare(config_name)
        elif role == "web":
            web(*arguments)
        else:
            worker(config_name)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except SyntaxError as error:
        # The frames of the import machinery would only distract from it.
        click.echo("".join(traceback.format_exception_only(error)), err=True, nl=False)
        return MISTAKE
    except Exception as error:
        if (explanation := _explain(error)) is not None:
            click.echo(f"Error: {explanation}", err=True)
            return 1
        traceback.print_exception(error)
        return MISTAKE
    return 0


def prepare(config_name: str) -> None:
    """Check that everything is there to serve; in development, create what is missing."""
    from development.preparation import announcement, prepare_to_serve

    for line in announcement(config_name):
        click.echo(line)
    for line in asyncio.run(prepare_to_serve(config_name)):
        click.echo(line)


def web(listener: str, grace: str = "") -> None:
    """Run Hypercorn in this process, on a socket that already listens."""
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    settings = PROJECT_ROOT / "hypercorn.toml"
    config = Config.from_toml(settings) if settings.exists() else Config()
    config.workers = 1
    config.bind = [f"fd://{listener}"]
    if grace:
        config.graceful_timeout = float(grace)
    # The supervisor prints the URL, the one that works in a browser.
    logging.getLogger("hypercorn.error").addFilter(
        lambda record: not record.getMessage().startswith("Running on")
    )
    # Imported by name, as the command `hypercorn` does, and before there is an event loop: the
    # import runs checks on a loop of its own.
    app = importlib.import_module("app.asgi").app
    asyncio.run(serve(app, config, mode="asgi"))


def worker(config_name: str) -> None:
    """Run the background worker."""
    from app.commands.worker import run_worker

    run_worker(config_name)


def _explain(error: Exception) -> str | None:
    try:
        from app.commands.failures import explain
    except Exception:
        return None  # the bug is in the code that would explain it
    return explain(error)


def _end_with_supervisor() -> None:
    """Stop as on SIGTERM when the supervisor is gone, even if it was killed."""
    os.read(sys.stdin.fileno(), 1)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(LAST_RESORT)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
