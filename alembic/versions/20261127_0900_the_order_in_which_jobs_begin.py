"""the order in which jobs begin: by priority, then by the time at which they are due

Revision: 7c1e5a90d3f4, after 2d7f90c4b1ae

The release before this one goes on working meanwhile; its workers sort all jobs that wait.
"""

import sqlalchemy as sa
from alembic import op

revision = "7c1e5a90d3f4"
down_revision = "2d7f90c4b1ae"
branch_labels = None
depends_on = None

WAITING = sa.text("state = 'waiting'")


def upgrade() -> None:
    op.drop_index("ix_jobs_due", "jobs")
    op.create_index(
        "ix_jobs_due",
        "jobs",
        ["priority", "due_at", "id", "name"],
        postgresql_where=WAITING,
        sqlite_where=WAITING,
    )


def downgrade() -> None:
    op.drop_index("ix_jobs_due", "jobs")
    op.create_index(
        "ix_jobs_due", "jobs", ["due_at"], postgresql_where=WAITING, sqlite_where=WAITING
    )
