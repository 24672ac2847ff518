"""Mailed links with something glued to them, and with a part missing."""

from typing import Any

import pytest
from quart.typing import TestClientProtocol as Browser

from app.auth.models import Purpose
from app.auth.tokens import mailed_secret, new_secret
from tests.accounts.surfaces import LINKS
from tests.factories.people import PASSWORD, invite, make_person
from tests.mail.captured import link_to, token_of

ENDS = [".", ">", ")", ",", "%3E", '"', "'", "*", "_", "%20", "=", "%0A", "]", "%22%3E", ".)", "!"]
SHAPES = ["{}.", "<{}>", " {}\n", '"{}"', "*{}*", "({})", "{}=", "\t{} "]
INCOMPLETE = "This link is incomplete"


async def reset_link(client: Browser) -> str:
    person = await make_person()
    await client.post("/api/v1/account/password/reset/mail", json={"email": person.email})
    return await link_to(client, "Reset your password")


async def test_what_a_mail_program_glues_on_is_ignored(client: Browser) -> None:
    path = await reset_link(client)
    for end in ENDS:
        assert (await client.get(path + end)).status_code == 200, end
    form = {"new_password": PASSWORD, "new_password2": PASSWORD}
    answer = await client.post(path + "%3E.", form=form)
    assert (answer.status_code, answer.headers.get("Location")) == (303, "/account/login")
    assert (await client.post(path, form=form)).status_code == 410, "once"


async def test_the_api_ignores_it_on_both_sides(client: Browser) -> None:
    token = token_of(await reset_link(client))
    for shape in SHAPES:
        body = {"token": shape.format(token), "new_password": "weak"}
        answer = await client.post("/api/v1/account/password/reset", json=body)
        assert (await answer.get_json())["code"] == "weak-password", shape
    body = {"token": f" <{token}>.", "new_password": PASSWORD}
    assert (await client.post("/api/v1/account/password/reset", json=body)).status_code == 204


@pytest.mark.parametrize("purpose", list(LINKS))
async def test_a_link_with_a_part_missing_says_so(client: Browser, purpose: Purpose) -> None:
    secret = new_secret()
    for broken in (secret[:42], f"{secret[:20]}={secret[20:]}", f"ä{secret[1:]}"):
        await _is_incomplete(client, purpose, broken)
    kind = LINKS[purpose]
    whole = kind.use(secret, PASSWORD if kind.password else None, by_page=False)
    problem = await (await client.post(whole.path, json=whole.fields)).get_json()
    assert problem["code"] == "link-expired", "whole, but of nobody"


async def _is_incomplete(client: Browser, purpose: Purpose, broken: str) -> None:
    kind = LINKS[purpose]
    password = PASSWORD if kind.password else None
    for answer in (
        await client.get(kind.page + broken),
        await client.post(kind.page + broken, form=kind.use(broken, password, by_page=True).fields),
    ):
        assert answer.status_code == 410
        page = await answer.get_data(as_text=True)
        assert INCOMPLETE in page
        assert "already been used" not in page
    request = kind.use(broken, password, by_page=False)
    answer = await client.post(request.path, json=request.fields)
    problem: dict[str, Any] = await answer.get_json()
    assert (answer.status_code, problem["code"]) == (410, "link-incomplete")


async def test_an_invitation_is_accepted_with_the_stop_of_a_sentence(client: Browser) -> None:
    await invite()
    path = await link_to(client, "You are invited to join") + "."
    form = {"password": PASSWORD, "password2": PASSWORD}
    assert (await client.post(path, form=form)).status_code == 303


async def test_a_session_is_carried_with_blanks_around_its_secret(client: Browser) -> None:
    person = await make_person()
    body = {"email": person.email, "password": PASSWORD}
    token = (await (await client.post("/api/v1/session", json=body)).get_json())["token"]
    for around in ("{} ", " {}", "{}\t"):
        headers = {"Authorization": f"Bearer {around.format(token)}"}
        assert (await client.get("/api/v1/account", headers=headers)).status_code == 200, around


def test_secrets_are_43_characters() -> None:
    for _ in range(100):
        secret = new_secret()
        assert mailed_secret(secret) == mailed_secret(f"<{secret}_-x") == secret
        assert mailed_secret(secret[:-1]) is None
