"""What is wrong with a configuration, in words."""

import os

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from app.environment import first_that_is_set, origin
from app.settings.agreement import Contradiction
from app.settings.fields import Fields, variables

SHOWN = 60  # characters of a value


def explain(name: str, cls: type[Fields], error: ValidationError) -> str:
    """List every mistake on a line of its own: the variable, its value, what is expected.

    Secrets are not shown.
    """
    reasons, together = _reasons(error)
    how_many = "1 variable is" if len(reasons) == 1 else f"{len(reasons)} variables are"
    wrong = f", {how_many} wrong" if reasons else ""
    lines = [f"The {name} configuration cannot be used{wrong}:", *(f"  {why}" for why in together)]
    for place, reason in reasons.items():
        variable, field = _find(cls, place)
        given = ", ".join(filter(None, (_given(variable, field), reason)))
        lines.append(f"  {variable}: {given}. Expected: {field.description}.")
    return "\n".join(lines)


def _reasons(error: ValidationError) -> tuple[dict[int | str, str], list[str]]:
    """Return what is wrong with each field, and with several together.

    The former is empty where the expectation says it all.
    """
    reasons: dict[int | str, str] = {}
    together: list[str] = []
    for mistake in error.errors(include_url=False):
        cause = mistake.get("ctx", {}).get("error")
        if isinstance(cause, Contradiction):
            reasons.update(cause.reasons)
        elif mistake["loc"]:
            reasons[mistake["loc"][0]] = _reason(mistake)
        else:
            together.append(_reason(mistake))
    return reasons, together


def _find(cls: type[Fields], place: int | str) -> tuple[str, FieldInfo]:
    """Find the field that an error is about, and the variable that its value came from."""
    name = next(n for n in cls.model_fields if place in (*variables(cls, n), n))
    return first_that_is_set(*variables(cls, name)) or name, cls.model_fields[name]


def _given(variable: str, field: FieldInfo) -> str:
    value = os.environ.get(variable)
    if not value:
        return "is not set"
    if not field.repr:
        return f"got a value of {len(value)} characters (not shown)"
    user, at, rest = value.rpartition("@")
    shown = f"***@{rest}" if at and ":" in user else value  # a password in a URL
    file = f" in {origin(variable)}" if origin(variable) else ""
    return f"got {shown[:SHOWN] + '…' if len(shown) > SHOWN else shown!r}{file}"


def _reason(mistake: ErrorDetails) -> str:
    if mistake["type"] == "value_error":
        return str(mistake["ctx"]["error"])
    if mistake["type"].startswith(("greater", "less")):
        return mistake["msg"].removeprefix("Input ")  # "should be less than …"
    if mistake["type"].startswith("int_"):
        return "not a whole number"
    if mistake["type"] in ("float_parsing", "finite_number"):
        return "not a number"
    if mistake["type"] == "string_too_long":
        return f"should have at most {mistake['ctx']['max_length']} characters"
    return ""
