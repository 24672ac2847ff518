"""when the password was last shown in a session

Revision: 5c1e7b0a94d2, after 162aa7bcf1a4
"""

import sqlalchemy as sa
from alembic import op

revision = "5c1e7b0a94d2"
down_revision = "162aa7bcf1a4"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "credentials", sa.Column("authenticated_at", sa.DateTime(timezone=True), nullable=True)
    )


def downgrade() -> None:
    with op.batch_alter_table("credentials") as batch:
        batch.drop_column("authenticated_at")
