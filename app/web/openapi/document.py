"""The document itself: operations, and the components that they refer to."""

import inspect
import re
from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema
from quart import Quart
from werkzeug.routing import IntegerConverter, UUIDConverter

from app.keyset import ListQuery
from app.validators import LARGEST_ID
from app.web.openapi.errors import Refusal, refusals
from app.web.openapi.examples import FORMATS, REF, example
from app.web.openapi.operations import Operation, operations
from app.web.openapi.words import (
    DESCRIPTION,
    FORM_HINTS,
    HEADERS,
    IF_MATCH,
    SECURITY_SCHEMES,
    needs,
    security_of,
)
from app.web.problems import REQUEST_ID, ProblemDetails, title_of

JSON, PROBLEM = "application/json", "application/problem+json"

LIMITED = ["RateLimit", "RateLimit-Policy"]
ERROR_HEADERS = {
    401: ["WWW-Authenticate"],
    403: ["WWW-Authenticate"],  # where a token lacks a scope
    429: ["Retry-After", *LIMITED],
    503: ["Retry-After"],
}


def specification(app: Quart) -> dict[str, Any]:
    """Return the document for an application with all its features."""
    return Document(list(operations(app))).build(
        {
            "title": app.extensions["settings"].APP_NAME,
            "version": "1",
            "description": DESCRIPTION,
        }
    )


class Document:
    """An OpenAPI document in the making: what operations refer to is collected on the way."""

    def __init__(self, described: list[Operation]) -> None:
        self.operations = described
        inputs = {shape for each in described for shape in (each.body, each.query) if shape}
        outputs = {shape for each in described for shape in each.answers.values() if shape}
        wanted: list[tuple[type[BaseModel], JsonSchemaMode]] = [
            *((shape, "validation") for shape in sorted(inputs, key=_name)),
            *((shape, "serialization") for shape in sorted(outputs, key=_name)),
            (ProblemDetails, "validation"),  # in which `errors` may be absent
        ]
        refs, found = models_json_schema(wanted, ref_template=REF + "{model}")
        # One that is sent and shown has two components where these differ.
        self.names = {key: ref["$ref"].removeprefix(REF) for key, ref in refs.items()}
        self.schemas: dict[str, Any] = {
            name: _cleaned(schema) for name, schema in found["$defs"].items()
        }
        self.examples: dict[str, Any] = {}
        self.responses: dict[str, Any] = {}
        self.parameters: dict[str, Any] = {"If-Match": IF_MATCH}

    def build(self, info: dict[str, Any]) -> dict[str, Any]:
        """Return the document."""
        paths: dict[str, dict[str, Any]] = {}
        for each in self.operations:
            paths.setdefault(each.path, {})[each.method.lower()] = self.operation(each)
        tags = {each.tag.name: each.tag.description for each in self.operations if each.tag}
        document = {
            "openapi": "3.1.0",
            "info": info,
            "tags": [{"name": name, "description": words} for name, words in sorted(tags.items())],
            "paths": paths,
            "components": {
                "schemas": self.schemas,
                "responses": dict(sorted(self.responses.items())),
                "parameters": dict(sorted(self.parameters.items())),
                "examples": dict(sorted(self.examples.items())),
                "headers": {
                    name: {"description": words, "schema": {"type": "string"}, "example": sample}
                    for name, (words, sample) in HEADERS.items()
                },
                "securitySchemes": SECURITY_SCHEMES,
            },
        }
        _drop_unused_schemas(document)
        return document

    def operation(self, each: Operation) -> dict[str, Any]:
        """Return what is said of one operation."""
        summary, _, rest = (inspect.getdoc(each.view) or "").partition("\n")
        described: dict[str, Any] = {
            "operationId": each.view.__name__,
            "summary": summary.rstrip("."),
            "description": f"{rest.strip()}\n\n{needs(each)}".strip(),
            "tags": [each.tag.name] if each.tag else [],
        }
        if security := security_of(each):
            described["security"] = security
        if parameters := [*self.path_parameters(each), *self.query_parameters(each)]:
            described["parameters"] = parameters
        if each.is_tagged and not each.is_safe:
            described.setdefault("parameters", []).append(_ref("parameters", "If-Match"))
        if each.body:
            described["requestBody"] = {
                "required": True,
                "content": self.json(self.names[each.body, "validation"]),
            }
        described["responses"] = {
            **{str(s): self.answer(each, s, shape) for s, shape in each.answers.items()},
            **{str(s): self.refused(s, which) for s, which in refusals(each).items()},
        }
        return described

    def path_parameters(self, each: Operation) -> list[dict[str, Any]]:
        """Return the parameters of the path."""
        found = []
        for name, converter in each.rule._converters.items():
            schema: dict[str, Any] = {"type": "string", "minLength": 1}
            sample: Any = "about"
            if isinstance(converter, UUIDConverter):
                schema, sample = {"type": "string", "format": "uuid"}, FORMATS["uuid"]
            elif isinstance(converter, IntegerConverter):
                schema, sample = {"type": "integer", "minimum": 1, "maximum": LARGEST_ID}, 1
            given = {"in": "path", "required": True, "schema": schema, "example": sample}
            found.append({"name": name, **given})
        return found

    def query_parameters(self, each: Operation) -> list[dict[str, Any]]:
        """Return the parameters of the query string; those that all lists share by reference."""
        if not each.query:
            return []
        found = []
        name = self.names[each.query, "validation"]
        for field, schema in self.schemas[name]["properties"].items():
            described = _parameter(field, schema)
            if field in ListQuery.model_fields:
                self.parameters[field] = described
                described = _ref("parameters", field)
            found.append(described)
        return found

    def json(self, name: str) -> dict[str, Any]:
        """Return the content of a body of the schema of this name, with an example."""
        self.examples[name] = {"value": example(self.schemas[name], self.schemas)}
        return {
            JSON: {
                "schema": {"$ref": REF + name},
                "examples": {"example": _ref("examples", name)},
            }
        }

    def answer(self, each: Operation, status: int, shape: type[BaseModel] | None) -> dict[str, Any]:
        """Return an answer that is no error."""
        described: dict[str, Any] = {"description": "Done."}
        names = ["ETag"] if each.is_tagged and shape else []
        names += LIMITED if each.is_limited else []
        if shape:
            summary = (inspect.getdoc(shape) or "").partition("\n")[0]
            content = self.json(self.names[shape, "serialization"])
            described = {"description": summary, "content": content}
        if names:
            described["headers"] = _headers(names)
        if shape and (links := self.links(each, self.names[shape, "serialization"])):
            described["links"] = links
        return described

    def links(self, each: Operation, name: str) -> dict[str, Any]:
        """Return what can be done next with the thing of an answer, or the first one of a list.

        For what generates clients and tests: the viewer does not show links.
        """
        schema, pointer = self.schemas[name], ""
        if "items" in schema["properties"]:
            reference = schema["properties"]["items"]["items"].get("$ref", "")
            schema, pointer = self.schemas[reference.removeprefix(REF)], "/items/0"
        found = {}
        for other in self.operations:
            parameter = re.fullmatch(re.escape(each.path) + r"/\{(\w+)\}", other.path)
            if not parameter:
                continue
            field = parameter[1] if parameter[1] in schema["properties"] else "id"
            if field in schema["properties"]:
                found[other.view.__name__] = {
                    "operationId": other.view.__name__,
                    "parameters": {
                        **{own: f"$request.path.{own}" for own in each.rule.arguments},
                        parameter[1]: f"$response.body#{pointer}/{field}",
                    },
                }
        return found

    def refused(self, status: int, which: Iterable[Refusal]) -> dict[str, Any]:
        """Return an answer that is an error: by reference where it has a single code."""
        which = list(which)
        for each in which:
            self.examples[each.code] = {"summary": each.detail, "value": _problem(each)}
        described: dict[str, Any] = {
            "description": f"{title_of(status)}: " + ", ".join(f"`{each.code}`" for each in which),
            "content": {
                PROBLEM: {
                    "schema": {"$ref": REF + self.names[ProblemDetails, "validation"]},
                    "examples": {each.code: _ref("examples", each.code) for each in which},
                }
            },
        }
        if names := ERROR_HEADERS.get(status):
            described["headers"] = _headers(names)
        name = ".".join(each.code for each in which)
        self.responses[name] = described
        return _ref("responses", name)


def _name(shape: type[BaseModel]) -> str:
    return shape.__name__


def _ref(kind: str, name: str) -> dict[str, str]:
    return {"$ref": f"#/components/{kind}/{name}"}


def _headers(names: Iterable[str]) -> dict[str, Any]:
    return {name: _ref("headers", name) for name in names}


def _problem(refusal: Refusal) -> dict[str, Any]:
    return {
        "type": "about:blank",
        "title": title_of(refusal.status),
        "status": refusal.status,
        "detail": refusal.detail,
        "code": refusal.code,
        "request_id": REQUEST_ID,
    }


def _parameter(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    """Return a parameter of a query string: absent where its schema says null."""
    kept = {key: value for key, value in schema.items() if key not in ("description", "anyOf")}
    kinds = [kind for kind in schema.get("anyOf", []) if kind.get("type") != "null"]
    kept |= kinds[0] if kinds else {}
    if kept.get("default", "") is None:
        del kept["default"]
    words = {key: value for key, value in schema.items() if key == "description"}
    return {"name": name, "in": "query", **words, "schema": kept}


def _cleaned(schema: Any) -> Any:
    """Return a schema without what only forms read, and without titles, which repeat names."""
    if isinstance(schema, list):
        return [_cleaned(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {}
    for key, value in schema.items():
        if key == "properties":
            kept[key] = {name: _cleaned(field) for name, field in value.items()}
        elif key not in FORM_HINTS and not (key == "required" and value is True):
            kept[key] = _cleaned(value)
    return kept


def _drop_unused_schemas(document: dict[str, Any]) -> None:
    """Remove the schemas that nothing refers to, such as those of query strings."""
    schemas = document["components"]["schemas"]
    while True:
        used = set(_referred(document))
        unused = [name for name in schemas if REF + name not in used]
        if not unused:
            return
        for name in unused:
            del schemas[name]


def _referred(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for each in value.values():
            yield from _referred(each)
    elif isinstance(value, list):
        for each in value:
            yield from _referred(each)
