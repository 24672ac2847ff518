"""The processes that `serve` runs.

`python -m development.serving ROLE CONFIGURATION [SOCKET [GRACE]]`.

ROLE is `prepare`, `web` or `worker`. SOCKET is the descriptor of a listening socket, GRACE the
seconds that requests get to finish. Standard input is a pipe from the supervisor into which nothing
is written: it ends with the supervisor.
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

# How a process ends that failed because of a mistake in the code rather than in its surroundings.
MISTAKE = os.EX_SOFTWARE

# More than any request or job gets to finish.
LAST_RESORT = 35  # seconds


def main(role: str, config_name: str, *arguments: str) -> int:
    """Run one of the processes and return its exit status.

    What people can mend is one line, a mistake a traceback.
    """
    threading.Thread(target=_end_with_supervisor, daemon=True).start()
    load_environment()
    try:
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
        # The way to it through the import machinery says nothing about it.
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
    """Check that everything that serving needs is there; in development, make what is missing."""
    from development.preparation import prepare_to_serve

    for line in asyncio.run(prepare_to_serve(config_name)):
        click.echo(line)


def web(listener: str, grace: str = "") -> None:
    """Run Hypercorn, one process, on a socket that already listens."""
    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    settings = PROJECT_ROOT / "hypercorn.toml"
    config = Config.from_toml(settings) if settings.exists() else Config()
    config.workers = 1
    config.bind = [f"fd://{listener}"]
    if grace:
        config.graceful_timeout = float(grace)
    # The supervisor says where it serves, with the address that works in a browser.
    logging.getLogger("hypercorn.error").addFilter(
        lambda record: not record.getMessage().startswith("Running on")
    )
    # By name, as the command `hypercorn` does, and before there is a loop, since it may run one of
    # its own to check.
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
        return None  # the mistake is where that would come from
    return explain(error)


def _end_with_supervisor() -> None:
    """Stop as on SIGTERM when the supervisor is gone, however it went."""
    os.read(sys.stdin.fileno(), 1)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(LAST_RESORT)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
