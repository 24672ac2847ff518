"""What tests of changes of the email address share."""

from quart import Quart
from quart.typing import TestClientProtocol as Browser

from app.auth.models import User
from app.database import db
from tests.factories.people import PASSWORD, Person
from tests.mail.captured import link_in, mails

NEW = "nine green lanterns hum"
CONFIRM, NOTICE = "Confirm your new email", "Your email address is about to change"


async def ask(client: Browser, email: str) -> tuple[str, str]:
    """Request another address; returns the paths of its link and of the one that reverts it."""
    response = await client.post(
        "/account/manage/change-email", form={"email": email, "password": PASSWORD}
    )
    assert (response.status_code, response.headers["Location"]) == (303, "/account/manage")
    found = await mails(client)
    return tuple(
        link_in(next(mail for mail in found if subject in mail["subject"]))
        for subject in (CONFIRM, NOTICE)
    )  # type: ignore[return-value]  # two subjects, two paths


async def address_of(person: Person) -> str:
    async with db.session() as session:
        return (await session.get_one(User, person.id)).email


async def status_of_log_in(app: Quart, email: str, password: str = PASSWORD) -> int:
    credentials = {"email": email, "password": password}
    return (await app.test_client().post("/api/v1/session", json=credentials)).status_code
