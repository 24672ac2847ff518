"""What holds for every operation of the API: unknown fields, errors, partial changes, ETags."""

import json
from typing import Any
from uuid import uuid4

import pytest
from quart import Quart
from quart.typing import TestClientProtocol as Browser

from app.accounts import roles
from app.web.openapi.document import specification
from app.web.openapi.examples import example
from app.web.openapi.operations import Operation, operations
from app.web.problems import WORDS, code_of
from tests.factories.people import Person, log_in, make_person
from tests.web.callers import value_for

UNKNOWN = "no_such_field"
MARK = "violet-5b1f"  # in every text that is sent


async def administrator(app: Quart) -> Browser:
    browser = app.test_client()
    await log_in(browser, await make_person(role=roles.ADMINISTRATOR))
    return browser


def url(each: Operation) -> str:
    values = {name: value_for(each.rule._converters[name]) for name in each.rule.arguments}
    built = each.rule.build(values)
    assert built
    return built[1]


def body_of(app: Quart, each: Operation) -> dict[str, Any]:
    """Return the example of an operation's body."""
    assert each.body
    schemas = specification(app)["components"]["schemas"]
    body: dict[str, Any] = example(schemas[each.body.__name__], schemas)
    return body


async def test_unknown_fields_are_refused_in_every_body(app: Quart) -> None:
    browser = await administrator(app)
    sent = 0
    for each in operations(app):
        if each.body:
            answer = await browser.open(
                url(each), method=each.method, json={**body_of(app, each), UNKNOWN: True}
            )
            problem = await answer.get_json()
            assert (answer.status_code, problem["code"]) == (422, "invalid"), each.path
            fields = [mistake["field"] for mistake in problem["errors"]]
            assert UNKNOWN in fields, each.path
            sent += 1
    assert sent > 15


async def test_unknown_parameters_are_refused_in_every_query_string(app: Quart) -> None:
    browser = await administrator(app)
    for each in operations(app):
        answer = await browser.open(
            url(each),
            method=each.method,
            query_string={UNKNOWN: "1"},
            json=body_of(app, each) if each.body else None,
        )
        assert answer.status_code == 422, each.path
        assert (await answer.get_json())["errors"][0]["field"] == UNKNOWN, each.path


def marked(value: Any) -> Any:
    """Return a body with the mark in each text, so that hardly any of it is valid."""
    if isinstance(value, str):
        return f"\t{MARK} {value}"
    if isinstance(value, list):
        return [marked(each) for each in value] or [MARK]
    if isinstance(value, dict):
        return {name: marked(each) for name, each in value.items()}
    return MARK


async def test_no_error_repeats_what_was_sent(app: Quart) -> None:
    browser = await administrator(app)
    refused = 0
    for each in operations(app):
        if each.body:
            body = marked(body_of(app, each))
            answer = await browser.open(url(each), method=each.method, json=body)
            if answer.status_code >= 400:
                assert MARK not in await answer.get_data(as_text=True), each.path
                refused += 1
        if each.query:
            fields = each.query.model_fields
            for name in fields:
                answer = await browser.get(url(each), query_string={name: MARK})
                if answer.status_code >= 400:
                    assert MARK not in await answer.get_data(as_text=True), (each.path, name)
                    refused += 1
    assert refused > 20


async def test_a_name_that_is_no_field_is_repeated_in_part(client: Browser) -> None:
    answer = await client.post("/api/v1/session", json={"x" * 5000: True})
    mistakes = (await answer.get_json())["errors"]
    assert {"field": "x" * 100, "message": "There is no such field."} in mistakes


async def test_ids_in_paths_are_not_repeated(app: Quart) -> None:
    browser, nobody = await administrator(app), str(uuid4())
    for path in (f"/api/v1/jobs/{nobody}", "/api/v1/users/1917", "/api/v1/roles/1917"):
        answer = await browser.get(path)
        assert answer.status_code == 404
        text = await answer.get_data(as_text=True)
        assert nobody not in text
        assert "1917" not in text


def test_codes_of_statuses_are_the_same_in_every_python() -> None:
    assert {status: code_of(status) for status in WORDS} == {
        400: "bad-request",
        401: "unauthorized",
        403: "forbidden",
        404: "not-found",
        405: "method-not-allowed",
        408: "request-timeout",
        409: "conflict",
        410: "gone",
        413: "content-too-large",
        415: "unsupported-media-type",
        422: "unprocessable-content",
        429: "too-many-requests",
        500: "internal-server-error",
        503: "service-unavailable",
    }


async def test_another_method_is_refused_with_those_that_there_are(client: Browser) -> None:
    answer = await client.put("/api/v1/account", json={})
    assert answer.status_code == 405
    assert answer.content_type == "application/problem+json"
    assert (await answer.get_json())["code"] == "method-not-allowed"
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD", "PATCH", "POST", "OPTIONS"}


@pytest.fixture
async def member(app: Quart) -> tuple[Browser, Person]:
    """Return somebody's browser, and who they are."""
    person, browser = await make_person(), app.test_client()
    await log_in(browser, person)
    return browser, person


async def test_a_change_keeps_what_is_not_sent(member: tuple[Browser, Person]) -> None:
    browser, _ = member
    answer = await browser.patch("/api/v1/account", json={"last_name": "Other"})
    changed = await answer.get_json()
    assert (changed["first_name"], changed["last_name"]) == ("Robin", "Other")
    assert await (await browser.get("/api/v1/account")).get_json() == changed
    unchanged = await browser.patch("/api/v1/account", json={})
    assert (unchanged.status_code, await unchanged.get_json()) == (200, changed)


@pytest.mark.parametrize("field", ["first_name", "last_name"])
async def test_a_change_to_null_is_refused(member: tuple[Browser, Person], field: str) -> None:
    browser, _ = member
    answer = await browser.patch("/api/v1/account", json={field: None})
    problem = await answer.get_json()
    assert answer.status_code == 422
    assert problem["errors"] == [{"field": field, "message": "Input should be a valid string."}]


# What two may change: how it is read and changed, and what of it.
async def things(app: Quart) -> list[tuple[Browser, str, str, dict[str, Any], dict[str, Any]]]:
    browser, person = await administrator(app), await make_person()
    own = app.test_client()
    await log_in(own, person)
    role = {"name": "Editors", "index": "account"}
    made = await (await browser.post("/api/v1/roles", json=role)).get_json()
    return [
        (own, "/api/v1/account", "PATCH", {"first_name": "A"}, {"first_name": "B"}),
        (browser, f"/api/v1/users/{person.id}", "PATCH", {"last_name": "C"}, {"last_name": "D"}),
        (browser, f"/api/v1/roles/{made['id']}", "PUT", role, {**role, "name": "Writers"}),
    ]


async def test_of_two_who_have_read_the_same_the_second_changes_nothing(app: Quart) -> None:
    for browser, path, method, first, second in await things(app):
        tag = (await browser.get(path)).headers["ETag"]
        kept = await browser.open(path, method=method, json=first, headers={"If-Match": tag})
        assert kept.status_code == 200, path
        now = (await browser.get(path)).headers["ETag"]
        assert kept.headers["ETag"] == now, path
        late = await browser.open(
            path, method=method, json=second, headers={"If-Match": '"of-another-time"'}
        )
        assert (late.status_code, (await late.get_json())["code"]) == (412, "changed-meanwhile")
        assert (await browser.get(path)).headers["ETag"] == now, path
        again = await browser.open(path, method=method, json=second, headers={"If-Match": now})
        assert again.status_code == 200
        assert again.headers["ETag"] != now, path


async def test_every_operation_that_promises_it_heeds_if_match(app: Quart) -> None:
    """One whose view does not pass `if_match()` on would change the thing all the same."""
    browser, person = await administrator(app), await make_person()
    made = await browser.post("/api/v1/roles", json={"name": "Editors", "index": "account"})
    there = {"user_id": person.id, "role_id": (await made.get_json())["id"]}
    asked = 0
    for each in operations(app):
        if each.is_tagged and not each.is_safe:
            values = {
                name: there.get(name, value_for(each.rule._converters[name]))
                for name in each.rule.arguments
            }
            built = each.rule.build(values)
            assert built
            answer = await browser.open(
                built[1],
                method=each.method,
                json=body_of(app, each) if each.body else None,
                headers={"If-Match": '"x"'},
            )
            assert answer.status_code in (404, 412), f"{each.path} needs `if_match()`"
            asked += 1
    assert asked >= 5


async def test_every_change_may_be_empty(app: Quart) -> None:
    """A service that reads a field that was not sent gets None: it reads what was sent."""
    browser, person = await administrator(app), await make_person()
    for each in operations(app):
        if each.method == "PATCH":
            values = {name: value_for(each.rule._converters[name]) for name in each.rule.arguments}
            built = each.rule.build(
                {**values, "user_id": person.id} if "user_id" in values else values
            )
            assert built
            answer = await browser.patch(built[1], json={})
            assert answer.status_code in (200, 404), each.path


@pytest.mark.parametrize("sent", ["{}", "W/{}", "{gzip}", '"x", {}', "*"])
async def test_a_tag_is_known_again_behind_a_proxy_that_compresses(
    member: tuple[Browser, Person], sent: str
) -> None:
    browser, _ = member
    tag = (await browser.get("/api/v1/account")).headers["ETag"]
    sent = sent.replace("{gzip}", f'{tag[:-1]}-gzip"').replace("{}", tag)
    change = {"first_name": "Kim"}
    answer = await browser.patch("/api/v1/account", json=change, headers={"If-Match": sent})
    assert answer.status_code == 200


@pytest.mark.parametrize("sent", ["", '""', '"x"', "x", "W/", '"x", "y"'])
async def test_a_condition_that_names_no_tag_of_ours_does_not_hold(
    member: tuple[Browser, Person], sent: str
) -> None:
    browser, _ = member
    change = {"first_name": "Kim"}
    answer = await browser.patch("/api/v1/account", json=change, headers={"If-Match": sent})
    assert answer.status_code == 412
    assert (await (await browser.get("/api/v1/account")).get_json())["first_name"] == "Robin"


async def test_an_outdated_deletion_deletes_nobody(app: Quart) -> None:
    browser, person = await administrator(app), await make_person()
    path = f"/api/v1/users/{person.id}"
    tag = (await browser.get(path)).headers["ETag"]
    await browser.patch(path, json={"first_name": "Kim"})
    refused = await browser.delete(path, headers={"If-Match": tag})
    assert refused.status_code == 412
    now = (await browser.get(path)).headers["ETag"]
    assert (await browser.delete(path, headers={"If-Match": now})).status_code == 204


async def test_times_are_utc_in_iso_8601(app: Quart) -> None:
    browser = await administrator(app)
    users = await (await browser.get("/api/v1/users")).get_json()
    written = users["items"][0]["created_at"]
    assert json.dumps(written).endswith('Z"')
