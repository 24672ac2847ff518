"""What becomes slower when an installation grows: two of them, with 10^3 and with 10^6 users."""

import asyncio
import statistics
import urllib.parse
from functools import partial
from pathlib import Path

import asyncpg
import click

from bench.site import Process, Site, load, log_in, site

ROW = "{:<44} {:>12} {:>12} {:>8} {:>8}"

# Everybody has a session; each tenth account is unconfirmed, each hundredth disabled.
FILL = """
INSERT INTO users (email, first_name, last_name, password_hash, role_id, confirmed, disabled_at,
                   created_at)
SELECT 'user' || n || '@example.com', 'First' || n, 'Last' || n, 'x',
       (SELECT id FROM roles WHERE "default"), n % 10 <> 0,
       CASE WHEN n % 100 = 0 THEN now() END, now() - n * interval '1 second'
FROM generate_series(1, {number}) n;
INSERT INTO credentials (id, purpose, digest, user_id, remember, created_at, last_used_at,
                         expires_at)
SELECT gen_random_uuid(), 'session', sha256(('session' || id)::bytea), id, false, now(), now(),
       now() + interval '1 day'
FROM users WHERE email LIKE 'user%';
"""

# A session of another user for each request; none of those who are disabled.
ANYBODY = """
math.randomseed(1)
request = function()
  local n = math.random({number})
  if n % 100 == 0 then n = n - 1 end
  return wrk.format("GET", nil, {{["Authorization"] = "Bearer session" .. (n + 1)}})
end
"""


@click.command()
@click.option("--small", default=1_000, show_default=True)
@click.option("--large", default=1_000_000, show_default=True)
@click.option("--rounds", default=3, show_default=True)
@click.option("--seconds", default=5.0, show_default=True, help="Seconds of load for each figure.")
def growth(small: int, large: int, rounds: int, seconds: float) -> None:
    """Compare an installation of many users with one of few, in the same rounds."""
    with site() as made:
        servers = [_installation(made, number) for number in (small, large)]
        secrets = [log_in(server) for server in servers]
        click.echo(ROW.format("µs for each request", f"{small:,}", f"{large:,}", "ratio", "goal"))
        scripts = []
        for number in (small, large):
            scripts.append(made.folder / f"{number}.lua")
            scripts[-1].write_text(ANYBODY.format(number=number))
        compare = partial(_compare, servers, rounds, seconds)
        compare("a signed-in read, /api/v1/account", "/api/v1/account", "≤ 1.3", scripts=scripts)
        compare("the page of counts, /admin", "/admin", "≤ 1.3", secrets=secrets)


def _compare(
    servers: list[Process],
    rounds: int,
    seconds: float,
    label: str,
    path: str,
    goal: str,
    *,
    secrets: list[str] | None = None,
    scripts: list[Path] | None = None,
) -> None:
    times: list[list[float]] = [[], []]
    for number in range(rounds + 1):
        for index, server in enumerate(servers):
            header = {"Cookie": f"session_bench={secrets[index]}"} if secrets else {}
            script = scripts[index] if scripts else None
            rate = load(server.url + path, seconds if number else 1, 8, header, script)
            if number:  # the first one warms up
                times[index].append(1e6 / rate)
    few, many = (statistics.median(each) for each in times)
    ratio = statistics.median(b / a for a, b in zip(*times, strict=True))
    click.echo(ROW.format(label, f"{few:,.0f}", f"{many:,.0f}", f"{ratio:.2f}", goal))


def _installation(made: Site, number: int) -> Process:
    return made.start(env=filled(made, number, FILL))


def filled(made: Site, number: int, statements: str) -> dict[str, str]:
    """Make a database with so many users; return the variables of an installation on it."""
    name = f"bench_{number}"
    home = urllib.parse.parse_qs(urllib.parse.urlsplit(made.env["DATABASE_URL"]).query)["host"][0]
    asyncio.run(_execute(home, "postgres", f"CREATE DATABASE {name}"))
    url = f"postgresql://postgres@/{name}?host={home}"
    env = {"DATABASE_URL": url, "REDIS_PREFIX": name}
    made.manage("setup-prod", **env)
    for each in (statements.format(number=number), "VACUUM ANALYZE"):
        asyncio.run(_execute(home, name, each))
    return env


async def _execute(home: str, database: str, statements: str) -> None:
    connection = await asyncpg.connect(host=home, user="postgres", database=database)
    try:
        await connection.execute(statements)
    finally:
        await connection.close()
