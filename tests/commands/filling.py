"""A queue after a bad night: more dead jobs than anybody looks at one by one."""

from tests.clones import Clone

DEAD = 100_000
FILL = """
INSERT INTO jobs
    (id, name, args, state, priority, lease, attempt, created_at, finished_at, error)
SELECT {id}, 'jobs.delete_finished', '{{}}', 'dead', 0, 0, 10,
    '2026-01-01 00:00:00.000000', '2026-01-01 00:00:00.000000',
    CASE WHEN value % 4 = 0 THEN 'Connection refused' ELSE 'It is late' END
FROM {rows}
"""
ROWS = f"generate_series(1, {DEAD}) AS numbers(value)"
SQLITE_ROWS = f"""
(WITH RECURSIVE numbers(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM numbers LIMIT {DEAD})
SELECT * FROM numbers)
"""


async def fill(clone: Clone) -> None:
    """Add DEAD jobs that are dead; every fourth found a server that was down."""
    clone.does("setup-dev")
    if clone.database_url.startswith("sqlite"):
        await clone.query(FILL.format(id="printf('%032x', value)", rows=SQLITE_ROWS))
    else:
        identifier = "lpad(to_hex(value), 32, '0')::uuid"
        await clone.query(FILL.format(id=identifier, rows=ROWS))


async def number_of(clone: Clone, state: str) -> int:
    """Return how many jobs are in a state."""
    [(found,)] = await clone.query(f"SELECT count(*) FROM jobs WHERE state = '{state}'")
    return int(found)
