"""A user who is added without a role gets the default one."""

import pytest
from quart import Quart
from sqlalchemy import delete, insert, select, update

from app.auth.models import Role, User
from app.database import db
from app.errors import NotReady

pytestmark = pytest.mark.usefixtures("app")


def person(number: int) -> dict[str, str]:
    return {"email": f"a{number}@example.org", "first_name": "A", "last_name": "B"}


async def roles_of_users() -> list[str]:
    async with db.session() as session:
        query = select(Role.name).join(User, User.role_id == Role.id).order_by(User.id)
        return list((await session.execute(query)).scalars())


async def test_the_role_is_set_by_the_insert_and_known_at_once() -> None:
    async with db.transaction() as session:
        me = User(**person(1))
        session.add(me)
        await session.flush()
        role = (await session.execute(select(Role).where(Role.id == me.role_id))).scalar_one()
    assert (role.name, me.id > 0) == ("User", True)


async def test_many_users_at_once_get_it_too() -> None:
    async with db.transaction() as session:
        session.add_all(User(**person(number)) for number in range(30))
    async with db.transaction() as session:
        await session.execute(insert(User), [person(number) for number in range(30, 60)])
    async with db.begin() as connection:
        rows = [person(number) for number in range(60, 90)]
        await connection.execute(insert(User.__table__), rows)  # type: ignore[arg-type]  # a table
    assert await roles_of_users() == ["User"] * 90


async def test_a_role_that_is_given_is_kept() -> None:
    async with db.transaction() as session:
        query = select(Role.id).where(Role.name == "Administrator")
        role_id = (await session.execute(query)).scalar_one()
        session.add(User(**person(1), role_id=role_id))
    assert await roles_of_users() == ["Administrator"]


async def test_another_role_can_become_the_default() -> None:
    async with db.transaction() as session:
        await session.execute(update(Role).values(default=Role.name == "Administrator"))
        session.add(User(**person(1)))
    assert await roles_of_users() == ["Administrator"]


@pytest.mark.parametrize("number", [1, 3])
async def test_without_a_default_role_the_error_says_what_to_run(app: Quart, number: int) -> None:
    with pytest.raises(NotReady, match=r"no default role\. Run: python manage.py setup-dev"):
        async with db.transaction() as session:
            await session.execute(delete(Role))
            session.add_all(User(**person(each)) for each in range(number))
            await session.flush()
