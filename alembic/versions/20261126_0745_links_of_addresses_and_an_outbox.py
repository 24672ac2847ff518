"""links that belong to an address, known devices, and an outbox of mails

Revision: 5c1a7e90d4b3, after 3d94e0c1b7a2

A link that confirms an address belongs to the address alone: it loses its user, and names the
registration that it was mailed for. What a second registration left pending, a name and a
password, is forgotten: whoever opens its link chooses both.

Locks `credentials` while its unused confirmation links are rewritten, which are few. The release
before this one goes on working, but for links that this one mails. Taking this migration back
deletes those links, known devices and mails that have not been sent.
"""

import sqlalchemy as sa
from alembic import op

revision = "5c1a7e90d4b3"
down_revision = "3d94e0c1b7a2"
branch_labels = None
depends_on = None

HAS_USER = "user_id IS NOT NULL OR purpose = 'confirm'"


def upgrade() -> None:
    op.create_table(
        "outbox",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(100), nullable=False),
        sa.Column("email", sa.String(254), nullable=False),
        sa.Column("email_as_typed", sa.String(254)),
        sa.Column("content", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
    )
    op.create_index("ix_outbox_email_kind", "outbox", ["email", "kind"])
    op.create_index(op.f("ix_outbox_created_at"), "outbox", ["created_at"])
    with op.batch_alter_table("credentials") as batch:
        batch.alter_column("user_id", existing_type=sa.Integer(), nullable=True)
        batch.create_index(
            op.f("ix_credentials_email"),
            ["email"],
            postgresql_where=sa.text("email IS NOT NULL"),
            sqlite_where=sa.text("email IS NOT NULL"),
        )
        batch.create_check_constraint(op.f("ck_credentials_has_user"), HAS_USER)
    op.execute(
        "UPDATE credentials SET pending = "
        + _registration("user_id")
        + ", user_id = NULL WHERE purpose = 'confirm' AND user_id IS NOT NULL"
    )


def downgrade() -> None:
    op.execute("DELETE FROM credentials WHERE user_id IS NULL OR purpose = 'device'")
    with op.batch_alter_table("credentials") as batch:
        batch.drop_constraint(op.f("ck_credentials_has_user"), type_="check")
        batch.drop_index(op.f("ix_credentials_email"))
        batch.alter_column("user_id", existing_type=sa.Integer(), nullable=False)
    op.drop_table("outbox")


def _registration(column: str) -> str:
    if op.get_context().dialect.name == "sqlite":
        return f"json_object('registration', CAST({column} AS TEXT))"
    return f"json_build_object('registration', CAST({column} AS TEXT))"
