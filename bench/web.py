"""How many requests a second one web process answers, compared with bare Quart routes.

Each row of each round is measured alone, on a core that nothing else uses. Quote the ratios: the
speed of a machine wanders, and the rounds interleave what is compared.
"""

import json
import statistics
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

import click

from app.environment import PROJECT_ROOT
from bench.peer import jwt_of, start_peer
from bench.site import MEASURED, Process, Site, load, log_in, site

ROW = "{:<52} {:>8} {:>9} {:>9}"


@dataclass
class Row:
    """One url under load, the yardstick to divide by, and the ratio to reach."""

    label: str
    server: Process
    path: str
    yardstick: str = ""
    goal: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    rates: list[float] = field(default_factory=list)


@click.command()
@click.option("--rounds", default=3, show_default=True, help="Rounds, which interleave the rows.")
@click.option("--seconds", default=5.0, show_default=True, help="Seconds of load for each row.")
@click.option("--connections", default=32, show_default=True, help="Connections of the load.")
@click.option("--with-peer", is_flag=True, help="Also FastAPI, which is installed for this.")
@click.option("--layers/--no-layers", default=True, help="Also what each layer costs.")
def web(rounds: int, seconds: float, connections: int, with_peer: bool, layers: bool) -> None:
    """Compare one web process with bare Quart routes, and list what each layer costs."""
    with site() as made:
        made.manage("setup-prod")
        rows = _rows(made, with_peer)
        for row in rows:
            load(row.server.url + row.path, 1, connections, row.headers)
        for _ in range(rounds):
            for row in rows:
                rate = load(row.server.url + row.path, seconds, connections, row.headers)
                row.rates.append(rate)
        _print(rows, rounds, connections)
        if layers:
            _print_layers(made)


def _rows(made: Site, with_peer: bool) -> list[Row]:
    bare = made.start("bench.yardsticks:app", "/json")
    ours = made.start()
    secret = log_in(ours)
    token = {"Authorization": f"Bearer {secret}"}
    cookie = {"Cookie": f"session_bench={secret}"}
    rows = [
        Row("bare Quart: JSON", bare, "/json"),
        Row("bare Quart: session, user and role by asyncpg", bare, "/asyncpg", headers=token),
        Row("bare Quart: the same by SQLAlchemy Core", bare, "/core", "/asyncpg", headers=token),
        Row("/livez", ours, "/livez", "/json"),
        Row("a static file", ours, "/static/app.js", "/livez", "0.9"),
        Row("/api/v1/account, with a token", ours, "/api/v1/account", "/asyncpg", "0.6", token),
        Row("home, signed in", ours, "/", "/json", "0.28", cookie),
        Row("home, anonymous", ours, "/", "/json", "0.5"),
    ]
    if with_peer:
        theirs = {"Authorization": f"Bearer {jwt_of(1)}"}
        other = start_peer(made)
        rows.insert(
            3, Row("FastAPI: a JWT and one row", other, "/users/me", "/asyncpg", "", theirs)
        )
    return rows


def _print(rows: list[Row], rounds: int, connections: int) -> None:
    click.echo(f"{rounds} rounds, {connections} connections; the median of the rounds\n")
    click.echo(ROW.format("", "a second", "ratio", "goal"))
    # The same path twice: the last one stands for it.
    by_path = {row.path: row for row in rows}
    for row in rows:
        ratio = ""
        if row.yardstick:
            pairs = zip(row.rates, by_path[row.yardstick].rates, strict=True)
            ratio = f"{statistics.median(rate / other for rate, other in pairs):.2f}"
        goal = f"≥ {row.goal}" if row.goal else ""
        click.echo(ROW.format(row.label, f"{statistics.median(row.rates):,.0f}", ratio, goal))
        if row.yardstick:
            click.echo(f"{'':<52} {'':>8} of {by_path[row.yardstick].label}")


def _print_layers(made: Site) -> None:
    command = ["taskset", "-c", ",".join(map(str, MEASURED))]
    command += [sys.executable, "-m", "bench.layers"]
    done = subprocess.run(
        command, env=made.env, cwd=PROJECT_ROOT, check=True, capture_output=True, text=True
    )
    click.echo("\nWhat each part costs in one process, without a server, in µs")
    for label, microseconds in json.loads(done.stdout.splitlines()[-1]):
        click.echo(f"{label:<52} {microseconds:>8.0f}")
