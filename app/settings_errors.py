"""What is wrong with a configuration, in words."""

import os

from pydantic import AliasChoices, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from app.settings_fields import Fields


def explain(name: str, cls: type[Fields], error: ValidationError) -> str:
    """List every mistake on a line of its own: the variable, its value, what is expected.

    Secrets are not shown.
    """
    mistakes = {mistake["loc"][0]: mistake for mistake in error.errors(include_url=False)}
    how_many = "1 variable is" if len(mistakes) == 1 else f"{len(mistakes)} variables are"
    lines = [f"The {name} configuration cannot be used, {how_many} wrong:"]
    for place, mistake in mistakes.items():
        variable, field = _find(cls, place)
        reason = f", {found}" if (found := _reason(mistake)) else ""
        lines.append(
            f"  {variable}: {_given(variable, field)}{reason}. Expected: {field.description}."
        )
    return "\n".join(lines)


def _find(cls: type[Fields], place: int | str) -> tuple[str, FieldInfo]:
    """Find the field that an error is about, and the variable that its value came from."""
    name, field = next((n, f) for n, f in cls.model_fields.items() if place in _variables(n, f))
    return next((v for v in _variables(name, field) if os.environ.get(v)), name), field


def _variables(name: str, field: FieldInfo) -> list[str]:
    alias = field.validation_alias
    choices = alias.choices if isinstance(alias, AliasChoices) else [alias or name]
    return [*map(str, choices), name]


def _given(variable: str, field: FieldInfo) -> str:
    value = os.environ.get(variable)
    if not value:
        return "is not set"
    if field.repr:
        return f"got {value!r}"
    return f"got a value of {len(value)} characters (not shown)"


def _reason(mistake: ErrorDetails) -> str:
    if mistake["type"] == "value_error":
        return str(mistake["ctx"]["error"])
    if mistake["type"].startswith(("greater", "less")):
        return mistake["msg"].removeprefix("Input ")  # "should be less than …"
    return ""
