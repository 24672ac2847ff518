"""What ends a token and what does not, in every process at the next request."""

from collections.abc import Awaitable, Callable

import pytest
from quart import Quart
from quart.typing import TestClientProtocol as Browser

from app.accounts import email_change, roles, service
from app.auth.models import Purpose
from app.database import db
from tests.accounts.people.administering import administrator
from tests.factories.people import PASSWORD, Person, log_in, make_person
from tests.factories.tokens import bearer, make_token
from tests.mail.acts import link_of

NEW = "nine green lanterns hum"

Happens = Callable[[Browser, Browser, Person], Awaitable[object]]  # one's browser, the boss's


async def change_password(mine: Browser, boss: Browser, robin: Person) -> None:
    change = {"old_password": PASSWORD, "new_password": NEW}
    assert (await mine.post("/api/v1/account/password", json=change)).status_code == 200


async def reset_password(mine: Browser, boss: Browser, robin: Person) -> None:
    link = await link_of(robin.id, Purpose.RESET, robin.email)
    reset = {"token": link, "new_password": NEW}
    answer = await mine.post("/api/v1/account/password/reset", json=reset)
    assert answer.status_code == 204


async def object_to_a_change(mine: Browser, boss: Browser, robin: Person) -> None:
    link = await link_of(robin.id, Purpose.OBJECT, robin.email)
    async with db.transaction() as session:
        await email_change.revert_email_change(session, link)


async def disable(mine: Browser, boss: Browser, robin: Person) -> None:
    assert (await boss.post(f"/api/v1/users/{robin.id}/disable")).status_code == 204


async def disable_and_enable(mine: Browser, boss: Browser, robin: Person) -> None:
    await disable(mine, boss, robin)
    assert (await boss.post(f"/api/v1/users/{robin.id}/enable")).status_code == 204


async def delete_oneself(mine: Browser, boss: Browser, robin: Person) -> None:
    password = {"password": PASSWORD}
    assert (await mine.post("/api/v1/account/deletion", json=password)).status_code == 204


async def be_deleted(mine: Browser, boss: Browser, robin: Person) -> None:
    assert (await boss.delete(f"/api/v1/users/{robin.id}")).status_code == 204


async def end_all(mine: Browser, boss: Browser, robin: Person) -> None:
    assert (await boss.delete(f"/api/v1/users/{robin.id}/sessions")).status_code == 204


async def end_all_of_many(mine: Browser, boss: Browser, robin: Person) -> None:
    act = {"ids": [robin.id], "act": "end-sessions"}
    report = await (await boss.post("/api/v1/users/acts", json=act)).get_json()
    assert report["lines"][0]["done"]


async def be_promoted_by_command(mine: Browser, boss: Browser, robin: Person) -> None:
    async with db.transaction() as session:
        assert not await service.make_administrator(session, robin.email, "x")


async def change_address(mine: Browser, boss: Browser, robin: Person) -> None:
    link = await link_of(robin.id, Purpose.CHANGE_EMAIL, "new@example.com")
    answer = await mine.post("/api/v1/account/email/confirmation", json={"token": link})
    assert answer.status_code == 200


async def be_given_an_address(mine: Browser, boss: Browser, robin: Person) -> None:
    change = {"email": "new@example.com"}
    assert (await boss.patch(f"/api/v1/users/{robin.id}", json=change)).status_code == 200


async def log_out(mine: Browser, boss: Browser, robin: Person) -> None:
    assert (await mine.delete("/api/v1/session")).status_code == 204


async def end_other_sessions(mine: Browser, boss: Browser, robin: Person) -> None:
    assert (await mine.delete("/api/v1/account/sessions")).status_code == 204


async def rename(mine: Browser, boss: Browser, robin: Person) -> None:
    name = {"first_name": "Kim", "last_name": "Other"}
    assert (await mine.patch("/api/v1/account", json=name)).status_code == 200


async def get_another_role(mine: Browser, boss: Browser, robin: Person) -> None:
    role = {"role": "Administrator"}
    assert (await boss.patch(f"/api/v1/users/{robin.id}", json=role)).status_code == 200


ENDED: tuple[Happens, ...] = (
    change_password,
    reset_password,
    object_to_a_change,
    disable,
    disable_and_enable,
    delete_oneself,
    be_deleted,
    end_all,
    end_all_of_many,
    be_promoted_by_command,
)
KEPT: tuple[Happens, ...] = (
    change_address,
    be_given_an_address,
    log_out,
    end_other_sessions,
    rename,
    get_another_role,
)


@pytest.mark.parametrize("happens", [*ENDED, *KEPT], ids=lambda each: each.__name__)
async def test_a_token_ends_with_what_its_owner_had_or_stays(
    app: Quart, own_app: Quart, happens: Happens
) -> None:
    robin, another = await make_person(), await make_person(role=roles.USER)
    mine = app.test_client()
    await log_in(mine, robin)
    boss, _ = await administrator(app)
    secret, others = await make_token(robin.id), await make_token(another.id)
    elsewhere = own_app.test_client()  # as another process, which has seen the token work

    async def statuses() -> list[int]:
        return [
            (await client.get("/api/v1/account", headers=bearer(secret))).status_code
            for client in (elsewhere, app.test_client())
        ]

    assert await statuses() == [200, 200]
    await happens(mine, boss, robin)
    assert await statuses() == [401 if happens in ENDED else 200] * 2
    answer = await elsewhere.get("/api/v1/account", headers=bearer(others))
    assert answer.status_code == 200
