"""Types in JSON bodies."""

from datetime import date
from typing import Any

import pytest
from pydantic import BaseModel
from quart import Quart
from quart.typing import TestClientProtocol as Browser
from quart_schema import (
    QuartSchema,
    RequestSchemaValidationError,
    conversion,
    validate_request,
    validation,
)

from app.patches import quart_schema_types
from tests.factories.people import log_in, make_person

WRONG = [{"number": "5"}, {"number": True}, {"number": 5.5}, {"flag": 0}, {"flag": "no"}]


class Thing(BaseModel):
    """What is sent."""

    number: int = 1
    flag: bool = True
    day: date = date(2030, 1, 31)
    words: set[str] = set()


@pytest.fixture
def things() -> Browser:
    """An application that takes things."""
    app = Quart("types")
    QuartSchema(app)

    @app.post("/")
    @validate_request(Thing)
    async def take(data: Thing) -> dict[str, Any]:
        return data.model_dump(mode="json")

    @app.errorhandler(RequestSchemaValidationError)
    async def refuse(_: Exception) -> tuple[str, int]:
        return "", 422

    return app.test_client()


async def test_quart_schema_still_converts_what_a_body_holds(
    things: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validation, "model_load", conversion.model_load)
    statuses = [(await things.post("/", json=each)).status_code for each in WRONG]
    assert 200 in statuses, "delete app/patches/quart_schema_types.py: it is needed no more"


async def test_a_value_of_another_type_is_refused(
    things: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validation, "model_load", quart_schema_types.load)
    for each in WRONG:
        assert (await things.post("/", json=each)).status_code == 422, each


async def test_what_json_has_no_type_for_is_taken_in_its_own_spelling(
    things: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validation, "model_load", quart_schema_types.load)
    sent = {"number": 5, "flag": False, "day": "2030-02-28", "words": ["one"]}
    assert await (await things.post("/", json=sent)).get_json() == sent


async def test_the_api_refuses_what_its_specification_forbids(client: Browser) -> None:
    person = await make_person()
    fields: dict[str, Any] = {"email": person.email, "password": person.password}
    response = await client.post("/api/v1/session", json=fields | {"remember_me": "yes"})
    assert response.status_code == 422
    assert [each["field"] for each in (await response.get_json())["errors"]] == ["remember_me"]
    await log_in(client, person)  # a form is text: its values are converted as before
