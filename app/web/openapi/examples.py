"""Examples for the specification, put together from those of the fields."""

from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]

REF = "#/components/schemas/"

# Of values whose format says what they are.
FORMATS = {
    "date-time": "2030-01-31T12:00:00Z",
    "email": "robin@example.com",
    "password": "seven brass turnips",
    "uuid": "1c9f4e0a-5d7b-4a52-9b3e-2f6d8c7a1e40",
}


def example(schema: Schema, schemas: Mapping[str, Schema]) -> Any:
    """Return a value that fits a JSON schema; `schemas` are those that it may refer to.

    It is the schema's own example, or its default, or null where it may be, or is made of what the
    schema says. A text that says nothing more of itself becomes "text".
    """
    if "$ref" in schema:
        return example(schemas[schema["$ref"].removeprefix(REF)], schemas)
    for key in ("examples", "enum"):
        if schema.get(key):
            return schema[key][0]
    if "const" in schema:
        return schema["const"]
    if schema.get("default") is not None:
        return schema["default"]
    if "anyOf" in schema:
        return None if {"type": "null"} in schema["anyOf"] else example(schema["anyOf"][0], schemas)
    if schema.get("type") == "object":
        fields = schema.get("properties", {})
        return {name: example(field, schemas) for name, field in fields.items()}
    if schema.get("type") == "array":
        return [example(schema["items"], schemas)]
    if schema.get("format") in FORMATS:
        return FORMATS[schema["format"]]
    plain = {"boolean": False, "null": None, "number": 1, "string": "text"}
    return plain.get(str(schema.get("type")), schema.get("minimum", 1))
