"""Logging in and out by the API, and the identity that a session gives."""

import asyncio
from datetime import timedelta

import pytest
from quart import Quart
from quart.typing import TestClientProtocol as Browser
from sqlalchemy import func, select, update

from app.accounts import service
from app.accounts.jobs import delete_expired_credentials
from app.auth import sessions
from app.auth.hashing import Passwords, passwords
from app.auth.identity import Client
from app.auth.models import Credential, Purpose, User
from app.auth.password_checks import WrongCredentials, authenticate
from app.auth.tokens import digest, new_api_token, new_secret
from app.config import Config
from app.database import db, utcnow
from tests.factories.people import PASSWORD, Person, make_person

IS_SESSION = Credential.purpose == Purpose.SESSION  # not a device


async def begin(
    client: Browser, person: Person, password: str = PASSWORD, **more: object
) -> tuple[int, dict[str, object]]:
    response = await client.post(
        "/api/v1/session", json={"email": person.email, "password": password, **more}
    )
    return response.status_code, await response.get_json()


def bearer(token: object) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def test_the_token_of_a_log_in_tells_who_one_is(app: Quart, client: Browser) -> None:
    person = await make_person(first_name="Kim")
    status, body = await begin(client, person)
    assert status == 201
    response = await app.test_client().get("/api/v1/account", headers=bearer(body["token"]))
    account = await response.get_json()
    assert (response.status_code, account["email"], account["first_name"]) == (
        200,
        person.email,
        "Kim",
    )
    assert (account["role"], account["confirmed"]) == ("User", True)


async def test_the_cookie_of_a_log_in_works_too(client: Browser) -> None:
    person = await make_person()
    await begin(client, person)
    response = await client.get("/api/v1/account")
    assert (await response.get_json())["email"] == person.email


async def test_logging_out_ends_the_token_at_once(app: Quart, client: Browser) -> None:
    _, body = await begin(client, await make_person())
    stranger = app.test_client()
    response = await stranger.delete("/api/v1/session", headers=bearer(body["token"]))
    assert response.status_code == 204
    response = await stranger.get("/api/v1/account", headers=bearer(body["token"]))
    assert response.status_code == 401
    assert (await client.get("/api/v1/account")).status_code == 401


async def test_without_a_session_the_account_is_a_401_problem(client: Browser) -> None:
    response = await client.get("/api/v1/account")
    assert (response.status_code, response.content_type) == (401, "application/problem+json")
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert (await response.get_json())["code"] == "not-signed-in"


async def test_wrong_password_and_unknown_address_look_the_same(client: Browser) -> None:
    person = await make_person()
    nobody = Person(0, "nobody@example.com", "", "")
    (wrong_status, wrong), (unknown_status, unknown) = (
        await begin(client, person, "wrong"),
        await begin(client, nobody),
    )
    del wrong["request_id"], unknown["request_id"]
    assert (wrong_status, wrong) == (unknown_status, unknown)
    assert (wrong_status, wrong["code"]) == (401, "wrong-credentials")


async def test_an_address_is_the_same_in_any_case(client: Browser) -> None:
    person = await make_person(email="Casey@Example.com")
    status, _ = await begin(client, Person(0, " CASEY@example.COM ", "", ""))
    assert (status, person.email) == (201, "casey@example.com")


async def test_fields_nobody_asked_for_are_refused(client: Browser) -> None:
    status, body = await begin(client, await make_person(), role="Administrator")
    assert (status, body["errors"]) == (
        422,
        [{"field": "role", "message": "There is no such field."}],
    )


async def test_a_disabled_account_ends_at_the_next_request(client: Browser) -> None:
    person = await make_person()
    await begin(client, person)
    async with db.transaction() as session:
        await session.execute(update(User).where(User.id == person.id).values(disabled_at=utcnow()))
    assert (await client.get("/api/v1/account")).status_code == 401
    assert (await begin(client, person))[0] == 401


async def test_an_expired_session_is_no_session(client: Browser) -> None:
    await begin(client, await make_person())
    async with db.transaction() as session:
        await session.execute(update(Credential).values(expires_at=utcnow() - timedelta(seconds=1)))
    assert (await client.get("/api/v1/account")).status_code == 401


@pytest.mark.parametrize(("remember", "hours"), [(False, 12), (True, 14 * 24)])
async def test_a_session_lives_as_long_as_it_is_used(
    client: Browser, remember: bool, hours: int
) -> None:
    await begin(client, await make_person(), remember_me=remember)
    long_ago = utcnow() - timedelta(minutes=6)
    async with db.transaction() as session:
        await session.execute(
            update(Credential).values(
                last_used_at=long_ago, expires_at=utcnow() + timedelta(minutes=1)
            )
        )
    assert (await client.get("/api/v1/account")).status_code == 200
    async with db.session() as session:
        credential = (await session.execute(select(Credential).where(IS_SESSION))).scalar_one()
    assert credential.last_used_at > long_ago
    assert abs(credential.expires_at - utcnow() - timedelta(hours=hours)) < timedelta(minutes=1)


async def test_use_is_noted_at_most_every_five_minutes(client: Browser) -> None:
    await begin(client, await make_person())
    recently = utcnow() - timedelta(minutes=4)
    async with db.transaction() as session:
        await session.execute(update(Credential).values(last_used_at=recently))
    await client.get("/api/v1/account")
    async with db.session() as session:
        query = select(Credential.last_used_at).where(IS_SESSION)
        assert (await session.execute(query)).scalar_one() == recently


async def test_only_the_digest_of_a_secret_is_stored(client: Browser) -> None:
    _, body = await begin(client, await make_person())
    async with db.session() as session:
        rows = (await session.execute(select(Credential.__table__))).all()
    assert client.cookie_jar is not None
    secrets = {str(body["token"]), *(str(cookie.value) for cookie in client.cookie_jar)}
    assert len(secrets) == 2, "of the session and of the device"
    assert not [secret for secret in secrets if secret in repr(rows)]


async def test_a_new_log_in_replaces_the_session_that_came_with_it(client: Browser) -> None:
    person = await make_person()
    _, first = await begin(client, person)
    _, second = await begin(client, person)
    assert first["token"] != second["token"]
    assert (await client.get("/api/v1/account", headers=bearer(first["token"]))).status_code == 401
    assert (await client.get("/api/v1/account", headers=bearer(second["token"]))).status_code == 200


async def test_a_session_that_was_planted_is_not_taken_over(app: Quart) -> None:
    """Session fixation: log-in never keeps the secret that a browser brings."""
    client = app.test_client()
    client.set_cookie("localhost", "session_testing", "planted-by-somebody-else")
    _, body = await begin(client, await make_person())
    assert body["token"] != "planted-by-somebody-else"
    response = await app.test_client().get(
        "/api/v1/account", headers=bearer("planted-by-somebody-else")
    )
    assert response.status_code == 401


async def test_a_password_changed_between_check_and_log_in_is_refused(app: Quart) -> None:
    person = await make_person()
    client = app.test_client()

    async def change() -> None:
        async with db.transaction() as session:
            await session.execute(update(User).values(password_hash="another"))

    here = Client("127.0.0.1", "", local=True)
    verified = await authenticate(person.email, PASSWORD, here)
    await change()
    with pytest.raises(WrongCredentials):
        async with db.transaction() as session:
            await sessions.start_session(session, verified, here, remember=False)
    assert (await client.get("/api/v1/account")).status_code == 401


async def test_five_failures_close_an_account_to_one_address_only(
    app: Quart, settings: Config
) -> None:
    person = await make_person()
    settings.TRUSTED_PROXIES = 0
    client = app.test_client()
    statuses = [(await begin(client, person, "wrong"))[0] for _ in range(6)]
    assert statuses == [401] * 5 + [429]
    response = await client.post(
        "/api/v1/session", json={"email": person.email, "password": PASSWORD}
    )
    assert response.status_code == 429
    assert 0 < int(response.headers["Retry-After"]) <= 300
    elsewhere = app.test_client()
    response = await elsewhere.post(
        "/api/v1/session",
        json={"email": person.email, "password": PASSWORD},
        scope_base={"client": ("192.0.2.7", 1234)},
    )
    assert response.status_code == 201


async def test_a_success_forgets_the_failures_before_it(client: Browser) -> None:
    person = await make_person()
    for _ in range(3):
        assert [(await begin(client, person, "wrong"))[0] for _ in range(4)] == [401] * 4
        assert (await begin(client, person))[0] == 201


async def test_parallel_attempts_do_not_slip_past_the_limit(app: Quart) -> None:
    person = await make_person()
    attempts = [begin(app.test_client(), person, "wrong") for _ in range(20)]
    statuses = [status for status, _ in await asyncio.gather(*attempts)]
    assert statuses.count(401) <= 5
    assert statuses.count(429) >= 15


async def test_attempts_from_one_address_are_limited_whoever_they_are_for(
    client: Browser, settings: Config
) -> None:
    settings.LOGIN_LIMIT_ADDRESS = "30/minute"
    statuses = [
        (await begin(client, Person(0, f"nobody{n}@example.com", "", ""), "wrong"))[0]
        for n in range(31)
    ]
    assert statuses == [401] * 30 + [429]


async def test_the_default_password_logs_in_from_this_machine_only(app: Quart) -> None:
    password_hash = await passwords.hash("password")
    async with db.transaction() as session:
        await service.make_administrator(session, "admin@example.com", password_hash)
    body = {"email": "admin@example.com", "password": "password"}

    async def attempt(peer: str, **headers: str) -> int:
        headers.setdefault("Host", "localhost:8000")
        response = await app.test_client().post(
            "/api/v1/session", json=body, headers=headers, scope_base={"client": (peer, 1)}
        )
        return response.status_code

    assert await attempt("127.0.0.1") == 201
    assert await attempt("192.0.2.7") == 401
    assert await attempt("127.0.0.1", **{"X-Forwarded-For": "127.0.0.1"}) == 401
    assert await attempt("127.0.0.1", Host="rebound.example.com") == 401


async def test_a_session_that_ends_while_a_request_is_under_way_stays_ended(
    client: Browser,
) -> None:
    """Recording its last use must not extend a session that has ended."""
    person = await make_person()
    _, body = await begin(client, person)
    identity = await sessions.identify(str(body["token"]), (Purpose.SESSION,))
    async with db.transaction() as session:
        await service.revoke_credentials(session, person.id)
    async with db.transaction() as session:
        await sessions.touch(session, identity, Client("", "", local=False))
    assert (await client.get("/api/v1/account")).status_code == 401


@pytest.mark.parametrize("purpose", [p for p in Purpose if p is not Purpose.SESSION])
async def test_a_credential_for_one_purpose_is_no_session(app: Quart, purpose: Purpose) -> None:
    person, is_token = await make_person(), purpose is Purpose.TOKEN
    secret = new_api_token() if is_token else new_secret()
    async with db.transaction() as session:
        expires_at = utcnow() + timedelta(hours=1)
        session.add(
            Credential(
                purpose=purpose,
                digest=digest(secret),
                user_id=person.id,
                expires_at=expires_at,
                scopes="read" if is_token else None,
            )
        )
    client = app.test_client()
    client.set_cookie("localhost", "session_testing", secret)
    assert (await client.get("/api/v1/account")).status_code == 401
    response = await app.test_client().get("/api/v1/account", headers=bearer(secret))
    assert response.status_code == (200 if purpose is Purpose.TOKEN else 401)


async def test_a_cookie_is_no_token_and_a_tokens_log_out_ends_both_that_are_shown(
    app: Quart,
) -> None:
    person = await make_person()
    _, one = await begin(app.test_client(), person)
    _, other = await begin(app.test_client(), person)
    client = app.test_client()
    client.set_cookie("localhost", "session_testing", str(other["token"]))
    assert (await client.delete("/api/v1/session", headers=bearer(one["token"]))).status_code == 204
    for token in (one["token"], other["token"]):
        assert (
            await app.test_client().get("/api/v1/account", headers=bearer(token))
        ).status_code == 401


async def from_address(
    app: Quart, peer: str, person: Person, password: str, browser: Browser | None = None
) -> int:
    body = {"email": person.email, "password": password}
    response = await (browser or app.test_client()).post(
        "/api/v1/session", json=body, scope_base={"client": (peer, 1)}
    )
    return response.status_code


async def test_failures_from_everywhere_close_an_account_but_not_to_its_owners_devices(
    app: Quart, client: Browser
) -> None:
    person = await make_person()
    assert await from_address(app, "192.0.2.200", person, PASSWORD, client) == 201
    for number in range(50):
        assert await from_address(app, f"192.0.2.{number}", person, "wrong") == 401
    assert await from_address(app, "192.0.2.200", person, PASSWORD) == 429, "fifty an hour in all"
    await client.delete("/api/v1/session")
    assert await from_address(app, "192.0.2.201", person, PASSWORD, client) == 201, (
        "nobody can lock the owner out, wherever they are"
    )


async def test_successes_do_not_count_towards_the_limit_of_an_account(
    app: Quart, settings: Config
) -> None:
    settings.LOGIN_LIMIT_ACCOUNT = "3/hour"
    person = await make_person()
    assert [await from_address(app, f"192.0.2.{n}", person, PASSWORD) for n in range(6)] == [
        201
    ] * 6


async def test_an_unknown_address_costs_as_much_work_as_a_known_one(
    app: Quart, monkeypatch: pytest.MonkeyPatch
) -> None:
    own: Passwords = app.extensions["passwords"]
    checked: list[str] = []
    real = own._matches
    monkeypatch.setattr(own, "_matches", lambda h, p: checked.append(h) or real(h, p))  # type: ignore[func-returns-value]
    await begin(app.test_client(), await make_person(), "wrong")
    await begin(app.test_client(), Person(0, "nobody@example.com", "", ""), "wrong")
    assert len(checked) == 2


async def test_expired_credentials_are_deleted_and_others_are_not(client: Browser) -> None:
    await begin(client, await make_person())
    await begin(client, await make_person())
    client.delete_cookie("localhost", "session_testing")
    await begin(client, await make_person())
    async with db.transaction() as session:
        oldest = (await session.execute(select(func.min(Credential.created_at)))).scalar_one()
        past = utcnow() - timedelta(days=1)
        await session.execute(
            update(Credential).where(Credential.created_at == oldest).values(expires_at=past)
        )
    await delete_expired_credentials()
