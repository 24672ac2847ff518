"""Administrators who act at the same moment: one of them is left, and each gets an answer."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import product
from typing import Any

import pytest
from quart import Quart
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncSession

from app.accounts import imports, people, registration, roles, selections, service
from app.accounts.people_schemas import Invitee, NewPerson, PersonChange, RoleIn, Selection
from app.accounts.schemas import Registration
from app.auth import sessions
from app.auth.identity import Client, Identity
from app.auth.models import User
from app.auth.password_checks import require_password
from app.database import db, utcnow
from app.errors import DomainError
from tests.accounts.people.administering import (
    actor,
    administrators,
    carry_out,
    end_everything,
    found,
    set_role,
    told,
)
from tests.factories.people import PASSWORD, Person, make_person

HERE = Client("127.0.0.1", "", local=True)
Act = Callable[[Identity, Person], Awaitable[Any]]


@pytest.fixture(autouse=True)
def slowly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let time pass between the moment when somebody is an administrator and their act."""

    async def slow(session: AsyncSession, who: Identity) -> bool:
        found = await sessions.is_valid(session, who)
        await asyncio.sleep(0.05)
        return found

    monkeypatch.setattr(roles, "is_valid", slow)


async def demote(who: Identity, other: Person) -> None:
    await carry_out(people.change, who, other.id, PersonChange.model_validate({"role": "User"}))


async def disable(who: Identity, other: Person) -> None:
    await carry_out(people.disable, who, other.id)


async def delete(who: Identity, other: Person) -> None:
    await carry_out(people.delete_person, who, other.id)


async def demote_many(who: Identity, other: Person) -> None:
    chosen = Selection(ids=[who.user_id, other.id], act="role", role="User")
    await carry_out(selections.act_on, who, chosen)


async def disable_many(who: Identity, other: Person) -> None:
    chosen = Selection(ids=[who.user_id, other.id], act="disable")
    await carry_out(selections.act_on, who, chosen)


async def delete_many(who: Identity, other: Person) -> None:
    chosen = Selection(ids=[who.user_id, other.id], act="delete")
    await carry_out(selections.act_on, who, chosen)


async def leave(who: Identity, other: Person) -> None:
    await service.delete_account(who, PASSWORD, HERE)


async def at_once(*acts: Awaitable[Any]) -> list[str]:
    """Do all at the same moment; returns the codes of the refusals: nothing else may go wrong."""
    answers = await asyncio.gather(*acts, return_exceptions=True)
    wrong = [each for each in answers if isinstance(each, BaseException)]
    assert all(isinstance(each, DomainError) for each in wrong), wrong
    return [each.code for each in wrong if isinstance(each, DomainError)]


async def two() -> tuple[tuple[Person, Identity], tuple[Person, Identity]]:
    pairs = []
    for _ in range(2):
        person = await make_person(role=roles.ADMINISTRATOR)
        pairs.append((person, await actor(person)))
    return pairs[0], pairs[1]


ALONE = (demote, disable, delete)
MANY = (demote_many, disable_many, delete_many)
PAIRS = [*product(ALONE, ALONE), *zip(MANY, MANY, strict=True), (demote, delete_many)]
PAIRS += [(leave, act) for act in (*ALONE, delete_many)] + [(leave, leave)]


@pytest.mark.parametrize(
    ("first", "second"), PAIRS, ids=lambda act: getattr(act, "__name__", str(act))
)
async def test_of_two_administrators_who_act_on_each_other_one_is_left(
    app: Quart, first: Act, second: Act
) -> None:
    (one, as_one), (other, as_other) = await two()
    await at_once(first(as_one, other), second(as_other, one))
    left = await administrators()
    assert len(left) == 1
    user = await found(left[0])
    assert user
    assert user.state == "active"


async def test_of_many_administrators_who_delete_each_other_at_once_one_is_left(
    app: Quart,
) -> None:
    everybody = [await make_person(role=roles.ADMINISTRATOR) for _ in range(5)]
    ids = [each.id for each in everybody]
    chosen = Selection(ids=ids, act="delete")
    who = [await actor(each) for each in everybody]
    codes = await at_once(*(carry_out(selections.act_on, each, chosen) for each in who))
    assert len(await administrators()) == 1
    assert codes == ["forbidden"] * 4


async def test_a_role_that_stops_administering_leaves_the_other_administrator(app: Quart) -> None:
    (one, as_one), (other, as_other) = await two()
    editor = RoleIn(name="Editor", index="main", administers=True)
    role = await carry_out(roles.create_role, as_one, editor, ["main"])
    await carry_out(
        people.change, as_one, other.id, PersonChange.model_validate({"role": "Editor"})
    )
    taken = RoleIn(name="Editor", index="main")
    await at_once(
        carry_out(roles.change_role, as_one, role.id, taken, ["main"]),
        demote(as_other, one),
    )
    assert len(await administrators()) == 1


async def test_who_became_an_administrator_while_leaving_is_not_the_last_to_leave(
    app: Quart, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a request knows of its user's role is older than the check of their password."""
    boss, member = await make_person(role=roles.ADMINISTRATOR), await make_person()
    as_boss, as_member = await actor(boss), await actor(member)

    async def meanwhile(who: Identity, *values: Any) -> Any:
        verified = await require_password(who, *values)
        if who.user_id == member.id:
            promoted = PersonChange.model_validate({"role": "Administrator"})
            await carry_out(people.change, as_boss, member.id, promoted)
            await service.delete_account(as_boss, PASSWORD, HERE)
        return verified

    monkeypatch.setattr(service, "require_password", meanwhile)
    with pytest.raises(service.LastAdministrator):
        await service.delete_account(as_member, PASSWORD, HERE)
    assert await administrators() == [member.id]


async def test_who_cannot_log_in_yet_is_nobody_to_leave_it_to(app: Quart) -> None:
    boss = await make_person(role=roles.ADMINISTRATOR)
    who = await actor(boss)
    person = Invitee(
        first_name="Kim", last_name="Guest", email="kim@example.com", role="Administrator"
    )
    await carry_out(people.invite, who, person)
    with pytest.raises(service.LastAdministrator):
        await service.delete_account(who, PASSWORD, HERE)


async def test_a_role_is_not_deleted_while_somebody_is_given_it(app: Quart) -> None:
    (_, as_one), (_, as_other) = await two()
    editor = RoleIn(name="Editor", index="main")
    role = await carry_out(roles.create_role, as_one, editor, ["main"])
    member = await make_person()
    codes = await at_once(
        carry_out(roles.delete_role, as_one, role.id),
        carry_out(
            people.change, as_other, member.id, PersonChange.model_validate({"role": "Editor"})
        ),
    )
    user = await found(member.id)
    assert user
    expected = {"Editor": ["role-in-use"], "User": ["unknown-role"]}
    assert codes == expected[user.role.name]


KIM = {"first_name": "Kim", "last_name": "Guest", "email": "kim@example.com"}


async def test_of_those_who_give_an_address_an_account_at_once_one_does(app: Quart) -> None:
    (_, as_one), (_, as_other) = await two()
    codes = await at_once(
        carry_out(people.invite, as_one, Invitee(**KIM)),
        carry_out(people.invite, as_other, Invitee(**KIM)),
        people.create(as_one, NewPerson.model_validate(KIM | {"password": PASSWORD})),
        carry_out(imports.invite_all, as_other, "Kim Guest <Kim@example.com>", None),
    )
    assert len(codes) == 3
    assert set(codes) <= {"email-taken", "not-imported"}
    assert len([to for to, _ in await told(app.test_client())]) == 1


async def test_a_registration_at_the_same_moment_stands_in_nobodys_way(app: Quart) -> None:
    who = await actor()
    registered = Registration.model_validate(KIM | {"password": PASSWORD})
    codes = await at_once(
        registration.register(registered, HERE),
        carry_out(people.invite, who, Invitee(**KIM)),
    )
    assert codes in ([], ["email-taken"])
    async with db.session() as session:
        user = await service.find_user(session, "kim@example.com")
    assert user
    assert user.state == ("unconfirmed" if codes else "invited")


@pytest.mark.parametrize("act", ALONE)
async def test_the_command_that_makes_an_administrator_is_in_nobodys_way(
    app: Quart, act: Act
) -> None:
    (_, as_one), (other, _) = await two()
    codes = await at_once(
        act(as_one, other),
        carry_out(service.make_administrator, other.email, "another hash"),
    )
    assert codes == []
    assert as_one.user_id in await administrators()
    async with db.session() as session:
        user = await service.find_user(session, other.email)
    assert act is delete or user, "it is there, as whoever came last wanted it"


async def end_session(person: Person) -> None:
    await end_everything(person.id)


async def lose_role(person: Person) -> None:
    await set_role(person.id, roles.USER)


async def be_disabled(person: Person) -> None:
    async with db.transaction() as session:
        await session.execute(update(User).where(User.id == person.id).values(disabled_at=utcnow()))


async def be_deleted(person: Person) -> None:
    async with db.transaction() as session:
        await service.remove_user(session, person.id)


SAME = RoleIn(name="Editor", index="main")
ACTS: dict[str, Callable[[Identity, Person], Awaitable[Any]]] = {
    "invite": lambda who, _: carry_out(people.invite, who, Invitee(**KIM)),
    "create": lambda who, _: people.create(
        who, NewPerson.model_validate(KIM | {"password": PASSWORD})
    ),
    "import": lambda who, _: carry_out(imports.invite_all, who, "A B <a@example.com>", None),
    "change": lambda who, other: carry_out(
        people.change, who, other.id, PersonChange.model_validate({"first_name": "X"})
    ),
    "disable": disable,
    "enable": lambda who, other: carry_out(people.enable, who, other.id),
    "confirm": lambda who, other: carry_out(people.confirm, who, other.id),
    "reset": lambda who, other: carry_out(people.send_reset, who, other.id),
    "invite again": lambda who, other: carry_out(people.invite_again, who, other.id),
    "cancel": lambda who, other: carry_out(people.cancel_invitation, who, other.id),
    "end sessions": lambda who, other: carry_out(people.end_sessions, who, other.id),
    "end one": lambda who, other: carry_out(people.end_session, who, other.id, who.credential_id),
    "delete": delete,
    "many": delete_many,
    "preview": lambda who, other: selections.preview(who, Selection(ids=[other.id], act="delete")),
    "new role": lambda who, _: carry_out(roles.create_role, who, SAME, ["main"]),
    "edit role": lambda who, _: carry_out(roles.change_role, who, 1, SAME, ["main"]),
    "delete role": lambda who, _: carry_out(roles.delete_role, who, 1),
}


@pytest.mark.parametrize("meanwhile", [end_session, lose_role, be_disabled, be_deleted])
async def test_who_is_no_administrator_any_more_does_nothing(
    app: Quart, meanwhile: Callable[[Person], Awaitable[None]]
) -> None:
    boss, other = await make_person(role=roles.ADMINISTRATOR), await make_person()
    who = await actor(boss)
    await meanwhile(boss)
    for name, act in ACTS.items():
        with pytest.raises(roles.NotAnAdministrator):
            await act(who, other)
        user = await found(other.id)
        assert user, name
        assert (user.state, user.first_name) == ("active", "Robin"), name
    assert await told(app.test_client()) == []
