"""Fields of forms, built from the fields of a schema for the templates to render."""

import types
from dataclasses import dataclass, field
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import EmailStr, SecretStr
from pydantic.fields import FieldInfo

from app.config import settings


@dataclass
class FormField:
    """A field as the templates render it."""

    name: str
    label: str
    type: str
    value: str = ""
    checked: bool = False
    chosen: set[str] = field(default_factory=set)  # of the options, if several may be chosen
    options: list[tuple[str, str]] = field(default_factory=list)
    hint: str | None = None
    errors: list[str] = field(default_factory=list)
    required: bool = False
    autocomplete: str | None = None
    inputmode: str | None = None
    minlength: int | None = None
    maxlength: int | None = None
    autofocus: bool = False

    @property
    def id(self) -> str:
        """The id of the field's element."""
        return f"field-{self.name}"


def field_of(name: str, info: FieldInfo, value: Any) -> FormField:
    """Return the field that a form shows for a field of a schema."""
    extra: dict[str, Any] = (
        dict(info.json_schema_extra) if isinstance(info.json_schema_extra, dict) else {}
    )
    limits = {
        kind: next((getattr(m, kind) for m in info.metadata if getattr(m, kind, None)), None)
        for kind in ("min_length", "max_length")
    }
    kind = str(extra.get("input") or _kind(info.annotation))
    hint = info.description
    if hint and extra.get("autocomplete") == "new-password":
        hint = f"At least {settings.PASSWORD_MIN_LENGTH} characters. {hint}"
    return FormField(
        name=name,
        label=info.title or name.replace("_", " ").capitalize(),
        type=kind,
        value="" if value is None or kind in ("password", "checks") else str(value),
        chosen=set(value or ()) if kind == "checks" else set(),
        checked=bool(value if value is not None else info.default is True)
        if kind == "checkbox"
        else False,
        options=[(str(v), str(label)) for v, label in extra.get("options", ())],
        hint=hint,
        required=info.is_required() or extra.get("required") is True,
        autocomplete=extra.get("autocomplete"),
        inputmode=extra.get("inputmode"),
        minlength=limits["min_length"],
        maxlength=limits["max_length"],
    )


def _kind(annotation: Any) -> str:
    if get_origin(annotation) in (Union, types.UnionType):
        annotation = next(a for a in get_args(annotation) if a is not type(None))
    if get_origin(annotation) is Annotated:  # inside `… | None`, where Pydantic leaves it
        annotation = get_args(annotation)[0]
    kinds = {bool: "checkbox", SecretStr: "password", EmailStr: "email", int: "number"}
    return kinds.get(annotation, "text")
