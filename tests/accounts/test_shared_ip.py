"""Limits that people who share an ip meet together: an office gets through, an abuser does not."""

import re

import pytest
from quart import Quart
from quart.typing import TestClientProtocol as Browser
from sqlalchemy import func, select

from app.auth.models import User
from app.config import Config
from app.database import db
from tests.factories.people import NUMBERS, PASSWORD, make_person

OFFICE = 30  # people


def registration() -> dict[str, str]:
    """Return the form of somebody new."""
    return {
        "first_name": "Robin",
        "last_name": "Example",
        "email": f"office{next(NUMBERS)}@example.com",
        "password": PASSWORD,
        "password2": PASSWORD,
    }


@pytest.mark.faults
@pytest.mark.waits
async def test_an_office_registers_logs_in_and_resets_within_minutes(app: Quart) -> None:
    emails = []
    for _ in range(OFFICE):
        browser, person = app.test_client(), registration()
        await browser.get("/account/register")
        for typed in range(len(PASSWORD) // 2):  # what the strength meter asks meanwhile
            body = {"password": PASSWORD[: typed * 2 + 1]}
            assert (await browser.post("/api/v1/password-strength", json=body)).status_code == 200
        response = await browser.post("/account/register", form=person)
        assert response.status_code == 303, await response.get_data(as_text=True)
        emails.append(person["email"])
    for email in emails:
        browser = app.test_client()
        wrong = {"email": email, "password": "a typing error"}
        assert (await browser.post("/account/login", form=wrong)).status_code == 401
        right = {"email": email, "password": PASSWORD}
        assert (await browser.post("/account/login", form=right)).status_code == 303
    for email in emails:
        response = await app.test_client().post("/account/reset-password", form={"email": email})
        assert response.status_code == 303


def test_what_one_ip_may_do_in_an_hour_is_bounded() -> None:
    """Written out, so that loosening one of them is noticed."""
    expected = {
        "LOGIN_LIMIT_ADDRESS": "300 per 10 minutes",
        "REGISTRATION_LIMIT": "150/hour",
        "RESET_LIMIT_ADDRESS": "150/hour",
        "STRENGTH_LIMIT": "600/minute",
        "PAGE_LIMIT": "1200/minute",
        "API_LIMIT": "300/minute",
        "LOGIN_LIMIT_ACCOUNT_ADDRESS": "5 per 5 minutes",
        "LOGIN_LIMIT_ACCOUNT": "50/hour",
        "RESET_LIMIT_ACCOUNT": "3/hour",
        "ACCOUNT_MAIL_LIMIT": "10/hour",
        "CONFIRMATION_LIMIT": "3/hour",
    }
    assert {name: Config.model_fields[name].default for name in expected} == expected


async def test_an_abuser_is_stopped_and_the_form_says_why_and_keeps_what_was_typed(
    app: Quart, settings: Config
) -> None:
    settings.REGISTRATION_LIMIT = "5/hour"
    statuses = []
    for _ in range(7):
        person = registration()
        response = await app.test_client().post("/account/register", form=person)
        statuses.append(response.status_code)
    assert statuses == [303] * 5 + [429] * 2
    page = await response.get_data(as_text=True)
    assert "Too many registrations from your network" in page
    assert re.search(r"Try again in (60 minutes|1 hour), or use another connection\.", page)
    assert int(response.headers["Retry-After"]) > 3500
    assert f'value="{person["email"]}"' in page
    assert PASSWORD not in page
    del person["password2"]
    answer = await app.test_client().post("/api/v1/account", json=person)
    assert answer.status_code == 429
    assert "Too many registrations from your network" in (await answer.get_json())["detail"]


async def test_each_limit_of_an_ip_says_that_it_is_shared(
    client: Browser, settings: Config
) -> None:
    settings.LOGIN_LIMIT_ADDRESS = settings.RESET_LIMIT_ADDRESS = "1/hour"
    for path, form, what in (
        ("/account/login", {"email": "a@example.com", "password": "x"}, "log-ins"),
        ("/account/reset-password", {"email": "a@example.com"}, "password resets"),
    ):
        await client.post(path, form=form)
        response = await client.post(path, form=form)
        page = await response.get_data(as_text=True)
        assert response.status_code == 429
        assert f"Too many {what} from your network" in page
        assert 'value="a@example.com"' in page


async def test_a_limit_of_ones_own_account_does_not_blame_the_network(client: Browser) -> None:
    person = await make_person()
    for _ in range(6):
        form = {"email": person.email, "password": "wrong"}
        response = await client.post("/account/login", form=form)
    page = await response.get_data(as_text=True)
    assert "Too many wrong passwords. Try again in" in page
    assert "network" not in page


async def test_the_limit_of_pages_keeps_what_was_typed_and_does_nothing(
    client: Browser, settings: Config
) -> None:
    settings.PAGE_LIMIT = "1/minute"
    await client.get("/account/register")
    person = registration()
    response = await client.post("/account/register", form=person)
    page = await response.get_data(as_text=True)
    assert response.status_code == 429
    assert "Too many requests from your network" in page
    assert f'value="{person["email"]}"' in page
    assert "field-first_name-errors" not in page
    async with db.session() as session:
        assert await session.scalar(select(func.count(User.id))) == 0
    assert (await client.get("/account/register")).status_code == 429
