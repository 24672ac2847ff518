"""The command that serves the application."""

import sys

import click

# The configurations in which `serve` brings up what is missing.
DEVELOPMENT = ("development", "default")


@click.command()
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="The IP to listen on; 0.0.0.0 is every interface.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    envvar="PORT",
    show_envvar=True,
    show_default=True,
    help="The port to listen on; 0 chooses a free one.",
)
@click.option(
    "--reload/--no-reload",
    default=None,
    help="Restart when a file changes [default: in development].",
)
@click.option(
    "--worker/--no-worker", default=None, help="Run a worker as well [default: in development]."
)
@click.option(
    "--postgres",
    is_flag=True,
    help="Use an embedded PostgreSQL, which keeps its data in instance/postgres.",
)
@click.pass_obj
def serve(
    config_name: str,
    host: str,
    port: int,
    reload: bool | None,
    worker: bool | None,
    postgres: bool,
) -> None:
    """Serve the application.

    In development this also starts an embedded Valkey unless REDIS_URL is set, migrates and seeds
    an empty database, and runs a worker. Ctrl-C stops everything; a second Ctrl-C does not wait for
    running requests and jobs.
    """
    if sys.platform == "win32":
        raise click.ClickException("serve needs Linux or macOS. On Windows, work inside WSL.")
    # Imported late: Windows lacks modules that it needs.
    from development.supervisor import supervise

    development = config_name in DEVELOPMENT
    if postgres and not development:
        raise click.ClickException(
            f"--postgres is for development. Under {config_name} set DATABASE_URL."
        )
    sys.exit(
        supervise(
            config_name,
            host,
            port,
            reload=development if reload is None else reload,
            worker=development if worker is None else worker,
            development=development,
            with_postgresql=postgres,
        )
    )
