"""people to find, roles to edit, and the trail

Revision: 7e21c4d9a0b6, after 5c1a7e90d4b3

Adds the columns by which people are sorted and found, and fills them: a table of a million people
takes about a minute, in which nobody writes to it. Roles get keys, so that they can be renamed,
and permissions by name. The release before this one can go on working meanwhile and afterwards;
whom it adds is not found by name until they are renamed.
"""

import unicodedata

import sqlalchemy as sa
from alembic import context, op

revision = "7e21c4d9a0b6"
down_revision = "5c1a7e90d4b3"
branch_labels = None
depends_on = None

BATCH = 5000
KEPT = {"sqlite_autoincrement": True}  # else a batch loses it
STATE = (
    "CASE WHEN disabled_at IS NOT NULL THEN 'disabled' WHEN confirmed THEN 'active' "
    "WHEN password_hash IS NULL THEN 'invited' ELSE 'unconfirmed' END"
)


def text(length: int) -> sa.String:
    """Return text that both databases sort by its characters' numbers."""
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


users = sa.table(
    "users",
    sa.column("id", sa.Integer),
    sa.column("first_name", sa.String),
    sa.column("last_name", sa.String),
    sa.column("name_key", sa.String),
    sa.column("given_name_key", sa.String),
)


def upgrade() -> None:
    _add_trail()
    op.create_table(
        "daily_figures",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("name", "day", name=op.f("pk_daily_figures")),
    )
    with op.batch_alter_table("roles", table_kwargs=KEPT) as batch:
        batch.add_column(sa.Column("key", sa.String(32), nullable=True))
        batch.add_column(
            sa.Column("grants", sa.String(1000), nullable=False, server_default=sa.text("''"))
        )
        batch.create_unique_constraint(op.f("uq_roles_key"), ["key"])
    for key, name in (("user", "User"), ("administrator", "Administrator")):
        op.execute(f"UPDATE roles SET key = '{key}' WHERE name = '{name}'")
    with op.batch_alter_table("users", table_kwargs=KEPT) as batch:
        batch.alter_column("email", existing_type=sa.String(254), type_=text(254))
        # Not the last one: SQLAlchemy misreads a computed column that ALTER TABLE adds one after.
        state = sa.Computed(STATE, persisted=True)
        batch.add_column(sa.Column("state", sa.String(16), state, nullable=False))
        for name in ("name_key", "given_name_key"):
            batch.add_column(
                sa.Column(name, text(150), nullable=False, server_default=sa.text("''"))
            )
        batch.add_column(
            sa.Column(
                "must_change_password", sa.Boolean(), nullable=False, server_default=sa.false()
            )
        )
        for name in ("first_name", "last_name", "role_id"):
            batch.drop_index(op.f(f"ix_users_{name}"))
    if not context.is_offline_mode():
        _fill_keys()
    with op.batch_alter_table("users", table_kwargs=KEPT) as batch:
        batch.create_index(op.f("ix_users_created_at"), ["created_at"])
        batch.create_index("ix_users_name", ["name_key", "id"])
        batch.create_index("ix_users_given_name", ["given_name_key", "id"])
        batch.create_index("ix_users_filtered", ["role_id", "state", "id"])
        for name in ("email", "name", "given_name"):
            column = name if name == "email" else f"{name}_key"
            batch.create_index(f"ix_users_filtered_{name}", ["role_id", "state", column, "id"])


def _add_trail() -> None:
    op.create_table(
        "trail",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("act", sa.String(64), nullable=False),
        sa.Column("actor_kind", sa.String(16), nullable=False),
        sa.Column("actor_id", sa.Integer()),
        sa.Column("via", sa.String(100)),
        sa.Column("request_id", sa.String(64)),
        sa.Column("subject_kind", sa.String(32)),
        sa.Column("subject_id", sa.String(64)),
        sa.Column("subject_name", sa.String(200)),
        sa.Column("changes", sa.JSON(), nullable=False),
        sa.Column("actor_details", sa.JSON()),
        sa.Column("subject_details", sa.JSON()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_trail")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_trail_at", "trail", ["at", "id"])
    op.create_index("ix_trail_act", "trail", ["act", "at", "id"])
    op.create_index("ix_trail_actor", "trail", ["actor_id", "at", "id"])
    op.create_index("ix_trail_subject", "trail", ["subject_kind", "subject_id", "at", "id"])


def _fill_keys() -> None:
    connection = op.get_bind()
    last_id = 0
    named = sa.select(users.c.id, users.c.first_name, users.c.last_name).order_by(users.c.id)
    fill = (
        sa.update(users)
        .where(users.c.id == sa.bindparam("user_id"))
        .values(name_key=sa.bindparam("name"), given_name_key=sa.bindparam("given_name"))
    )
    while rows := connection.execute(named.where(users.c.id > last_id).limit(BATCH)).all():
        filled = [
            {
                "user_id": key,
                "name": folded(f"{last} {first}"),
                "given_name": folded(f"{first} {last}"),
            }
            for key, first, last in rows
        ]
        connection.execute(fill, filled)
        last_id = rows[-1].id


def folded(name: str) -> str:
    """Return the form in which a name is found, as it was when this migration was written."""
    before = ""
    while name != before:
        before = name
        plain = unicodedata.normalize("NFKD", name)
        name = "".join(c for c in plain if not unicodedata.combining(c)).casefold()
    return " ".join(name.split())[:150]


def downgrade() -> None:
    with op.batch_alter_table("users", table_kwargs=KEPT) as batch:
        for name in ("filtered_given_name", "filtered_name", "filtered_email", "filtered"):
            batch.drop_index(f"ix_users_{name}")
        batch.drop_index("ix_users_given_name")
        batch.drop_index("ix_users_name")
        batch.drop_index(op.f("ix_users_created_at"))
        for name in ("state", "must_change_password", "given_name_key", "name_key"):
            batch.drop_column(name)
        batch.alter_column("email", existing_type=text(254), type_=sa.String(254))
        for name in ("first_name", "last_name", "role_id"):
            batch.create_index(op.f(f"ix_users_{name}"), [name])
    with op.batch_alter_table("roles", table_kwargs=KEPT) as batch:
        batch.drop_constraint(op.f("uq_roles_key"), type_="unique")
        batch.drop_column("grants")
        batch.drop_column("key")
    op.drop_table("daily_figures")
    op.drop_table("trail")
