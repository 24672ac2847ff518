"""The specification of the API, as a reader of it meets it."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, Field, computed_field
from quart import Quart
from quart.typing import TestClientProtocol as Browser
from quart_schema import validate_request, validate_response

from app.environment import PROJECT_ROOT
from app.validators import Shape
from app.web.access import declared, public, unlimited
from app.web.openapi.document import specification
from app.web.openapi.errors import refusals
from app.web.openapi.examples import example
from app.web.openapi.operations import Operation, operations

KEPT = PROJECT_ROOT / "docs" / "openapi.json"

# Features that a team may have removed: what the kept document says of them is then ignored.
OPTIONAL = {"pages": "content", "trail": "audit"}
OURS = {"accounts", "administration", "jobs", *OPTIONAL}  # tags


@pytest.fixture
def document(app: Quart) -> dict[str, Any]:
    """Return the document as JSON has it."""
    found: dict[str, Any] = json.loads(json.dumps(specification(app)))
    return found


def described(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return each operation by its method and path."""
    return {
        f"{method.upper()} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for each in value.values():
            yield from references(each)
    elif isinstance(value, list):
        for each in value:
            yield from references(each)


def resolved(document: dict[str, Any], value: dict[str, Any]) -> dict[str, Any]:
    """Return what a reference refers to, or the value itself."""
    if "$ref" not in value:
        return value
    found: Any = document
    for part in value["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    assert isinstance(found, dict)
    return found


async def test_every_operation_is_described(app: Quart, document: dict[str, Any]) -> None:
    routes = set()
    for rule in app.url_map.iter_rules():
        path = re.sub(r"<(?:[^:<>]*:)?([^<>]+)>", r"{\1}", rule.rule)
        if path.startswith("/api/"):
            routes |= {f"{each} {path}" for each in (rule.methods or set()) - {"HEAD", "OPTIONS"}}
    assert len(routes) > 40
    assert set(described(document)) == routes


async def test_every_operation_says_everything_about_itself(document: dict[str, Any]) -> None:
    tags = {tag["name"] for tag in document["tags"] if tag["description"]}
    for name, operation in described(document).items():
        assert operation["summary"], name
        assert operation["description"], name
        assert set(operation["tags"]) <= tags, name
        assert operation["tags"], f"{name}: call tag(blueprint, …)"
        statuses = set(operation["responses"])
        assert any(status.startswith("2") for status in statuses), name
        assert {"400", "422", "429", "503"} <= statuses, name
        assert ("401" in statuses and "403" in statuses) or "security" not in operation, name
        assert ("404" in statuses) or "{" not in name, name
        if "requestBody" in operation:
            assert {"413", "415", "408"} <= statuses, name
            assert operation["requestBody"]["content"]["application/json"]["examples"], name
        for status, given in operation["responses"].items():
            answer = resolved(document, given)
            assert answer["description"], (name, status)
            content = answer.get("content", {})
            kind = "application/json" if status[0] == "2" else "application/problem+json"
            assert set(content) == ({kind} if status != "204" else set()), (name, status)
            assert all(each["examples"] for each in content.values()), (name, status)


async def test_an_operation_is_secured_exactly_where_its_view_is(
    app: Quart, document: dict[str, Any]
) -> None:
    found = described(document)
    for each in operations(app):
        given = found[f"{each.method} {each.path}"].get("security", [])
        expected = {"token", "session", "cookie"} if each.access.signed_in else set()
        if each.access.session_only:
            expected.discard("token")
        assert {way for ways in given for way in ways} == expected, each.path


async def test_operation_ids_are_unique_and_are_the_names_of_the_views(
    app: Quart, document: dict[str, Any]
) -> None:
    ids = [operation["operationId"] for operation in described(document).values()]
    twice = {each for each in ids if ids.count(each) > 1}
    assert not twice, f"name these views uniquely among all features: {twice}"
    assert set(ids) == {each.view.__name__ for each in operations(app)}


async def test_every_reference_leads_somewhere_and_nothing_is_written_twice(
    document: dict[str, Any],
) -> None:
    found = set(references(document))
    assert len(found) > 100
    for reference in found:
        assert resolved(document, {"$ref": reference})
    components = document["components"]
    for kind in ("schemas", "responses", "parameters", "examples"):
        for name in components[kind]:
            assert f"#/components/{kind}/{name}" in found, f"nothing refers to {kind} {name}"
        texts = [json.dumps(each, sort_keys=True) for each in components[kind].values()]
        assert kind == "examples" or len(set(texts)) == len(texts), kind


def values(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from values(each)
    else:
        yield value


def shapes(each: Operation) -> Iterator[type[BaseModel]]:
    yield from (shape for shape in (each.body, *each.answers.values()) if shape)


async def test_every_example_fits_its_schema(app: Quart, document: dict[str, Any]) -> None:
    schemas, examples = (document["components"][kind] for kind in ("schemas", "examples"))
    checked = set()
    for shape in {shape for each in operations(app) for shape in shapes(each)}:
        value = examples[shape.__name__]["value"]
        assert value == example(schemas[shape.__name__], schemas)
        assert shape.model_validate(value), shape
        assert "text" not in values(value), (
            f"{shape.__name__}: give every text field an example, Field(examples=[…])"
        )
        checked.add(shape)
    assert len(checked) > 25


async def test_schemas_say_nothing_that_only_forms_read(document: dict[str, Any]) -> None:
    for name, schema in document["components"]["schemas"].items():
        for field, described in schema.get("properties", {}).items():
            assert {"autocomplete", "input", "title"}.isdisjoint(described), (name, field)
            assert described.get("required") is None or "properties" in described, (name, field)


async def test_a_code_means_one_thing(app: Quart) -> None:
    """Examples are kept by code: of two errors with one code, one would be shown for the other."""
    known: dict[str, int] = {}
    for each in operations(app):
        for status, which in refusals(each).items():
            for code in (refusal.code for refusal in which):
                assert known.setdefault(code, status) == status, f"{code} has two statuses"
    assert len(known) > 25


async def test_changes_may_leave_out_every_field_and_set_none_to_null(
    document: dict[str, Any],
) -> None:
    for operation in (each for name, each in described(document).items() if name[:5] == "PATCH"):
        reference = operation["requestBody"]["content"]["application/json"]["schema"]
        schema = resolved(document, reference)
        assert "required" not in schema
        assert schema["additionalProperties"] is False
        for field in schema["properties"].values():
            assert "null" not in json.dumps(field)
            assert "default" not in field


class Note(Shape):
    """A note, as it is sent and as it is shown."""

    text: str = Field(examples=["Water the plants"])

    @computed_field
    def length(self) -> int:
        """The number of its characters."""
        return len(self.text)


async def test_a_schema_that_is_read_and_written_is_described_as_either(own_app: Quart) -> None:
    @own_app.post("/api/v1/notes")
    @public
    @unlimited
    @validate_request(Note)
    @validate_response(Note)
    async def add_note(data: Note) -> Note:
        """Write a note."""
        return data

    document = json.loads(json.dumps(specification(own_app)))
    operation = described(document)["POST /api/v1/notes"]
    sent = operation["requestBody"]["content"]["application/json"]["schema"]
    shown = operation["responses"]["200"]["content"]["application/json"]["schema"]
    assert set(resolved(document, sent)["properties"]) == {"text"}
    assert set(resolved(document, shown)["properties"]) == {"text", "length"}


async def test_what_is_served_is_what_the_command_prints(
    client: Browser, document: dict[str, Any]
) -> None:
    answer = await client.get("/openapi.json")
    assert answer.content_type == "application/json"
    assert await answer.get_json() == document


def ours(document: dict[str, Any], present: set[str]) -> dict[str, Any]:
    """Return the operations of this base's own features that are present, and what they use."""
    kept = {
        name: operation
        for name, operation in described(document).items()
        if present.intersection(operation["tags"])
    }
    waiting, seen = list(references(kept)), {}
    while waiting:
        reference = waiting.pop()
        if reference not in seen:
            seen[reference] = resolved(document, {"$ref": reference})
            waiting += references(seen[reference])
    return {**kept, **seen}


async def test_the_document_in_the_repository_is_that_of_the_code(
    document: dict[str, Any],
) -> None:
    """Who changes the API on purpose writes it anew: `python manage.py openapi >docs/openapi.json`.

    A team's own features do not count: their operations may stand in the file or not.
    """
    present = {
        tag
        for tag in OURS
        if tag not in OPTIONAL or (PROJECT_ROOT / "app" / OPTIONAL[tag]).is_dir()
    }
    kept, live = ours(json.loads(KEPT.read_text()), present), ours(document, present)
    assert len(live) > 40
    hint = "if that is meant, run: python manage.py openapi > docs/openapi.json"
    assert set(kept) == set(live), hint
    for name in live:
        assert kept[name] == live[name], f"{name} has changed: {hint}"


async def test_every_api_route_declares_an_access(app: Quart) -> None:
    views = [
        app.view_functions[rule.endpoint]
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith("/api/")
    ]
    assert None not in {declared(view)[0] for view in views}
