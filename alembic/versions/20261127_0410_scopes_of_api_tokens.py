"""scopes of API tokens

Revision: 2d7f90c4b1ae, after 9b40f7d2c5e8

The release before this one goes on working meanwhile. It does not know scopes, so a token that is
made while both run may do there whatever its owner may do; going back ends all tokens.
"""

import sqlalchemy as sa
from alembic import op

revision = "2d7f90c4b1ae"
down_revision = "9b40f7d2c5e8"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("credentials") as batch:
        batch.add_column(sa.Column("scopes", sa.String(64), nullable=True))


def downgrade() -> None:
    op.execute("DELETE FROM credentials WHERE purpose = 'token'")
    with op.batch_alter_table("credentials") as batch:
        batch.drop_column("scopes")
