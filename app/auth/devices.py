"""Known devices: browsers in which a user has registered, logged in or reset the password.

They are told by a cookie, which alone logs nobody in. A stranger's wrong passwords do not lock a
known device out.
"""

from datetime import timedelta
from uuid import uuid4

from sqlalchemy import ColumnElement, delete, literal, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.auth.models import Credential, Purpose, User
from app.auth.tokens import digest
from app.config import settings
from app.database import insert_into, utcnow

MOST_DEVICES = 20  # of one user: those that logged in last


def device_digest(secret: str, user_id: int) -> bytes:
    """Return what is stored of a device: one cookie has a row for each user of the browser."""
    return digest(f"{secret}:{user_id}")


async def is_known(session: AsyncSession, secret: str, user_id: int) -> bool:
    """Return whether this user has logged in with the browser that has this cookie."""
    if not secret:
        return False
    query = select(Credential.id).where(
        Credential.digest == device_digest(secret, user_id),
        Credential.purpose == Purpose.DEVICE,
        Credential.expires_at > utcnow(),
    )
    return (await session.execute(query)).first() is not None


async def remember(session: AsyncSession, secret: str, user_id: int) -> None:
    """Make a browser a known device of a user for DEVICE_LIFETIME seconds from now.

    The same statements run for a user who does not exist.
    """
    if not secret:
        return
    now = utcnow()
    renewed = {
        "last_used_at": now,
        "expires_at": now + timedelta(seconds=settings.DEVICE_LIFETIME),
    }
    device = renewed | {
        "id": uuid4(),
        "purpose": str(Purpose.DEVICE),
        "digest": device_digest(secret, user_id),
        "created_at": now,
    }
    columns = Credential.__table__.c
    values = [literal(value, columns[name].type) for name, value in device.items()]
    row = select(*values, User.id).where(User.id == user_id)
    statement = insert_into(session, Credential).from_select([*device, "user_id"], row)
    await session.execute(statement.on_conflict_do_update(index_elements=["digest"], set_=renewed))
    newest = (
        select(Credential.id)
        .where(*_devices_of(user_id))
        .order_by(Credential.last_used_at.desc())
        .limit(MOST_DEVICES)
    )
    await session.execute(
        delete(Credential).where(*_devices_of(user_id), Credential.id.not_in(newest))
    )


async def forget_others(session: AsyncSession, secret: str, user_id: int) -> None:
    """End all known devices of a user except the browser that has this cookie."""
    others = Credential.digest != device_digest(secret, user_id)
    await session.execute(delete(Credential).where(*_devices_of(user_id), others))


def _devices_of(user_id: int) -> tuple[ColumnElement[bool], ...]:
    return Credential.user_id == user_id, Credential.purpose == Purpose.DEVICE
