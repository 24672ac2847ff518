"""email addresses: one normal form, and the form that was typed

Revision: 3d94e0c1b7a2, after 8f0d3b62c7e5

Brings the addresses of accounts and of unused links to the normal form: NFC and lower case before
the @, the domain as Unicode labels after it. Two accounts whose addresses have one normal form stay
as they are and are listed: each is found by its address exactly as stored. `manage.py check` goes
on listing them.

Reads without a lock. The lock is held for the new columns and for the addresses that change, which
are few unless another program has written them. The release before this one can go on working
meanwhile and afterwards. Taking this migration back leaves the addresses in the normal form.
"""

import logging
import re
import time
import unicodedata
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache

import idna
import sqlalchemy as sa
from alembic import context, op
from sqlalchemy.exc import DBAPIError

revision = "3d94e0c1b7a2"
down_revision = "8f0d3b62c7e5"
branch_labels = None
depends_on = None

logger = logging.getLogger("alembic.runtime.migration")

BATCH = 10_000
IN_LIST = 500  # addresses in one IN (…)

# Requests give up on a lock after 3 s (DATABASE_LOCK_TIMEOUT), and whoever comes after us in the
# queue for this one waits as long as we do.
LOCK_TIMEOUT = "1s"
ATTEMPTS = 120
PAUSE = 0.5  # seconds for the others, between two attempts

# An address that is its own normal form whatever Unicode says: nearly all of them.
PLAIN = re.compile(r"[!-?\[-~]+@(?!.*xn--)[a-z0-9.-]*[a-z0-9-]")

users = sa.table(
    "users",
    sa.column("id", sa.Integer),
    sa.column("email", sa.String),
    sa.column("email_as_typed", sa.String),
)
credentials = sa.table(
    "credentials",
    sa.column("id", sa.Uuid),
    sa.column("user_id", sa.Integer),
    sa.column("email", sa.String),
    sa.column("email_as_typed", sa.String),
    sa.column("consumed_at", sa.DateTime),
)


def normal_form(address: str) -> str:
    """Return the normal form as it was when this migration was written, or the address itself."""
    local, _, domain = address.strip().rpartition("@")
    domain = normal_domain(domain)
    if not local or not domain:
        return address
    before = ""
    local = unicodedata.normalize("NFC", local)
    while local != before:
        before = local
        local = unicodedata.normalize("NFC", local.lower())
    return f"{local}@{domain}"


@lru_cache(BATCH)
def normal_domain(domain: str) -> str:
    """Return the Unicode form of a domain, the ASCII form of Cherokee, or nothing of what is none.

    IDNA maps Cherokee to capitals, but the database accepts lower case only.
    """
    try:
        unicode = idna.decode(idna.encode(domain.removesuffix("."), uts46=True))
        return unicode if unicode == unicode.lower() else idna.encode(unicode).decode()
    except (idna.IDNAError, UnicodeError):
        return ""


def as_typed(address: str, normal: str) -> str | None:
    """Return where the mail of an address went so far, if that is another mailbox's name."""
    local = unicodedata.normalize("NFC", address.strip().rpartition("@")[0])
    typed = f"{local}@{normal.rpartition('@')[2]}"
    return typed if typed != normal else None


def upgrade() -> None:
    changes = {} if context.is_offline_mode() else changed(users)
    lock_tables()
    op.add_column("users", sa.Column("email_as_typed", sa.String(length=254), nullable=True))
    op.add_column("credentials", sa.Column("email_as_typed", sa.String(length=254), nullable=True))
    if context.is_offline_mode():
        return  # a script in SQL cannot compute them; `manage.py check` lists them
    conflicts = conflicting(changes)
    for identifier in sorted(conflicts):
        logger.warning("Two accounts have one address: user %s, %s", *conflicts[identifier])
    kept = {identifier for identifier in changes if identifier in conflicts}
    rename(users, {key: change for key, change in changes.items() if key not in kept})
    links = {
        key: change
        for key, change in changed(credentials, sa.column("consumed_at").is_(None)).items()
        if change[2] not in kept
    }
    rename(credentials, links)
    if changes or links:
        logger.warning(
            "Addresses brought to the normal form: %d of accounts, %d of links; left as they are "
            "because of another account: %d. See `manage.py check`.",
            len(changes) - len(kept),
            len(links),
            len(kept),
        )


def changed(table: sa.TableClause, *where: sa.ColumnElement[bool]) -> dict[object, tuple]:
    """Return the rows whose addresses are not normal: by id the address, its normal form, user."""
    return {
        row.id: (row.email, normal, row.user_id)
        for row in rows(table, *where)
        if not PLAIN.fullmatch(row.email) and (normal := normal_form(row.email)) != row.email
    }


def rows(table: sa.TableClause, *where: sa.ColumnElement[bool]) -> Iterator[sa.Row]:
    connection, last = op.get_bind(), None
    owner = table.c.user_id if "user_id" in table.c else table.c.id.label("user_id")
    query = sa.select(table.c.id, table.c.email, owner).where(table.c.email.isnot(None), *where)
    query = query.order_by(table.c.id).limit(BATCH)
    while True:
        page = query if last is None else query.where(table.c.id > last)
        found = connection.execute(page).all()
        yield from found
        if len(found) < BATCH:
            return
        last = found[-1].id


def conflicting(changes: dict[object, tuple]) -> dict[object, tuple[object, str]]:
    """Return all accounts that share a normal form with another one, by id."""
    wanted = Counter(normal for _, normal, _ in changes.values())
    normals = list(wanted)
    taken = {}
    for start in range(0, len(normals), IN_LIST):
        some = users.c.email.in_(normals[start : start + IN_LIST])
        for row in op.get_bind().execute(sa.select(users.c.id, users.c.email).where(some)):
            taken[row.email] = row.id
    found: dict[object, tuple[object, str]] = {}
    for identifier, (email, normal, _) in changes.items():
        other = taken.get(normal)
        if wanted[normal] > 1 or other not in (None, identifier):
            found[identifier] = (identifier, email)
            if other is not None:
                found[other] = (other, normal)
    return found


def rename(table: sa.TableClause, changes: dict[object, tuple]) -> None:
    statement = (
        sa.update(table)
        .where(table.c.id == sa.bindparam("key"), table.c.email == sa.bindparam("old"))
        .values(email=sa.bindparam("new"), email_as_typed=sa.bindparam("typed"))
    )
    values = [
        {"key": key, "old": old, "new": new, "typed": as_typed(old, new)}
        for key, (old, new, _) in changes.items()
    ]
    for start in range(0, len(values), BATCH):
        op.get_bind().execute(statement, values[start : start + BATCH])


def downgrade() -> None:
    lock_tables()
    op.drop_column("credentials", "email_as_typed")
    op.drop_column("users", "email_as_typed")


def lock_tables() -> None:
    """Lock both tables without making others wait for long: ask again and again, briefly."""
    if op.get_context().dialect.name == "sqlite":
        return
    lock = sa.text("LOCK TABLE users, credentials IN ACCESS EXCLUSIVE MODE")
    if context.is_offline_mode():
        op.execute(lock)
        return
    connection = op.get_bind()
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with connection.begin_nested():
                connection.execute(sa.text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"))
                connection.execute(lock)
                connection.execute(sa.text("SET LOCAL lock_timeout = 0"))
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) != "55P03" or attempt == ATTEMPTS:
                raise
            time.sleep(PAUSE)
        else:
            return
