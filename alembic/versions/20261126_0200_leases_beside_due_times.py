"""jobs: leases beside due times, and priorities

Revision: 8f0d3b62c7e5, after 5c1e7b0a94d2

Runs while the release before this one is still at work. That release extends `due_at` where this
one extends `leased_until`, so this one respects both: see `LEASE_OVER` in
app/jobs/engine/leases.py. In what it starts, `due_at` is empty, so that older workers do not take a
running job for one whose worker died. So take this migration back before a roll-back to that
release: it would wait for ever for a running job of this one whose worker has died.
"""

import time

import sqlalchemy as sa
from alembic import context, op
from sqlalchemy.exc import DBAPIError

revision = "8f0d3b62c7e5"
down_revision = "5c1e7b0a94d2"
branch_labels = None
depends_on = None

OPEN = sa.text("state IN ('waiting', 'running')")
WAITING = sa.text("state = 'waiting'")

# Requests give up on a lock after 3 s (DATABASE_LOCK_TIMEOUT), and whoever comes after us in the
# queue for this one waits as long as we do.
LOCK_TIMEOUT = "1s"
ATTEMPTS = 120
PAUSE = 0.5  # seconds for the others, between two attempts


def upgrade() -> None:
    now = lock_jobs()
    op.drop_index("ix_jobs_due", "jobs")
    with op.batch_alter_table("jobs") as jobs:
        jobs.add_column(sa.Column("leased_until", sa.DateTime(timezone=True), nullable=True))
        jobs.add_column(
            sa.Column("priority", sa.SmallInteger(), server_default=sa.text("0"), nullable=False)
        )
        jobs.alter_column("due_at", existing_type=sa.DateTime(timezone=True), nullable=True)
    op.execute("UPDATE jobs SET leased_until = due_at, due_at = NULL WHERE state = 'running'")
    # A job that failed or was released has an error or is due already, so these wait in a worker.
    # Where an error leaves it open, `due_at` stays: the job is taken at the same time either way.
    op.execute(
        f"UPDATE jobs SET leased_until = due_at, due_at = {now} WHERE state = 'waiting' "
        f"AND worker IS NOT NULL AND error IS NULL AND due_at > {now}"
    )
    op.create_index(
        "ix_jobs_due", "jobs", ["due_at"], postgresql_where=WAITING, sqlite_where=WAITING
    )


def downgrade() -> None:
    lock_jobs()
    op.drop_index("ix_jobs_due", "jobs")
    op.execute(
        "UPDATE jobs SET due_at = leased_until WHERE state IN ('waiting', 'running') "
        "AND leased_until IS NOT NULL AND (due_at IS NULL OR due_at < leased_until)"
    )
    op.execute(
        "UPDATE jobs SET due_at = COALESCE(finished_at, started_at, created_at) "
        "WHERE due_at IS NULL"
    )
    with op.batch_alter_table("jobs") as jobs:
        jobs.alter_column("due_at", existing_type=sa.DateTime(timezone=True), nullable=False)
        jobs.drop_column("priority")
        jobs.drop_column("leased_until")
    op.create_index("ix_jobs_due", "jobs", ["due_at"], postgresql_where=OPEN, sqlite_where=OPEN)


def lock_jobs() -> str:
    """Lock the table without making others wait for long; returns the present time in SQL.

    A job that completes in a long transaction keeps the lock from us, and everybody who comes
    after us would wait as well. So ask for it again and again, briefly.
    """
    if op.get_context().dialect.name == "sqlite":
        return "strftime('%Y-%m-%d %H:%M:%f000', 'now')"
    if context.is_offline_mode():
        op.execute("LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE")
        return "now()"
    connection = op.get_bind()
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with connection.begin_nested():
                connection.execute(sa.text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"))
                connection.execute(sa.text("LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE"))
                connection.execute(sa.text("SET LOCAL lock_timeout = 0"))
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) != "55P03" or attempt == ATTEMPTS:
                raise
            time.sleep(PAUSE)
        else:
            break
    return "now()"
