"""HTML forms from Pydantic schemas, so that pages and API validate alike.

Each error is shown beside its field.
"""

import types
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import wraps
from typing import Annotated, Any, Generic, TypeVar, Union, cast, get_args, get_origin

from pydantic import BaseModel, EmailStr, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from quart import ResponseReturnValue, flash, g, render_template, request

from app.config import settings
from app.errors import DomainError
from app.web import kept
from app.web.access import FORM
from app.web.errors import messages
from app.web.identity import identity

Schema = TypeVar("Schema", bound=BaseModel)
View = TypeVar("View", bound=Callable[..., Awaitable[Any]])

FORM_PROBLEMS = ""  # the key of errors that concern the form as a whole


class ShownToAnother(DomainError):
    """The form was shown to another account: somebody has logged in in another tab since."""

    code = "shown-to-another"


@dataclass
class FormField:
    """A field as the templates render it."""

    name: str
    label: str
    type: str
    value: str = ""
    checked: bool = False
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


class Form(Generic[Schema]):
    """A form for a schema: empty, or as it was posted, with its errors.

    Labels are the titles of the schema's fields, hints their descriptions. `json_schema_extra` may
    set `input` (the type of input), `autocomplete`, `inputmode`, `options`, and `required` for a
    field that the page shows only where it is needed.
    """

    def __init__(self, schema: type[Schema], **values: Any) -> None:
        self.schema = schema
        self.problems: list[str] = []
        self.status = 200
        self.retry_after: int | None = None
        self.shown_to = ""  # the id of the user who is looking at it
        self._fields = {
            name: _field(name, info, values.get(name)) for name, info in schema.model_fields.items()
        }

    @property
    def fields(self) -> list[FormField]:
        """The fields in the schema's order.

        The first field with an error gets the focus, or else the first empty one.
        """
        fields = list(self._fields.values())
        focused = next((f for f in fields if f.errors), None) or next(
            (f for f in fields if not f.value), fields[0]
        )
        for each in fields:
            each.autofocus = each is focused
        return fields

    def __getitem__(self, name: str) -> FormField:
        return next(field for field in self.fields if field.name == name)

    @property
    def kept(self) -> list[str]:
        """The names of the fields that may be kept: neither passwords nor codes."""
        return [
            name
            for name, field_ in self._fields.items()
            if field_.type not in ("password", "hidden", "file")
            and not any(word in (field_.autocomplete or "") for word in ("password", "code", "cc-"))
        ]

    async def read(self) -> Schema | None:
        """Return what was posted, or `None` if it is not valid.

        The form then has the errors, and keeps what was typed, except passwords.
        """
        data = await self.fill()
        try:
            return self.schema.model_validate(data)
        except ValidationError as error:
            for mistake in messages(error):
                self._add(mistake["field"], mistake["message"])
            self.status = 422
            return None

    async def fill(self) -> dict[str, Any]:
        """Fill the form with what was posted, except passwords, and return all of it."""
        posted = await request.form
        data: dict[str, Any] = {}
        for name in posted:
            values = posted.getlist(name)
            data[name] = values[0] if len(values) == 1 else values
        self._require_the_same_user(data.pop(kept.SHOWN_TO, ""))
        for name, field_ in self._fields.items():
            if field_.type == "checkbox":
                field_.checked = data.setdefault(name, "off") != "off"
            elif field_.type != "password":
                field_.value = str(data.get(name, ""))
        return data

    def _require_the_same_user(self, shown_to: str) -> None:
        if shown_to and self.shown_to and shown_to != self.shown_to:
            raise ShownToAnother(
                "This form was opened from another account. You are now logged in as "
                f"{identity().email}, so this was not done."
            )

    def refuse(self, error: DomainError) -> None:
        """Add an error of the domain: beside its field if it names one, else above the form."""
        self.status, self.retry_after = error.status, error.retry_after
        self._add(error.field or FORM_PROBLEMS, error.message)

    async def page(self, template: str, **context: Any) -> ResponseReturnValue:
        """Render the page with this form, with the status of what was wrong with it."""
        headers = {"Retry-After": str(self.retry_after)} if self.retry_after else {}
        return await render_template(template, form=self, **context), self.status, headers

    def _add(self, name: str, message: str) -> None:
        field_ = self._fields.get(name.split(".")[0])
        if field_:
            field_.errors.append(message)
        elif name == FORM_PROBLEMS:
            self.problems.append(message)
        else:
            self.problems.append(f"{name[:64]}: {message}")


def form(
    template: str,
    schema: type[BaseModel],
    context: Callable[..., Awaitable[dict[str, Any]]] | None = None,
) -> Callable[[View], View]:
    """Serve a view as a form: render the form on GET, call the view on POST.

    The view gets the validated data, then the values of its route. If the data are not valid, or
    the view raises a `DomainError`, the form is rendered again with the errors. `context` gets the
    route's values too; it returns more context for the template, and initial values of fields.
    What somebody typed before their session ended is back after they have logged in again.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        async def page(**values: Any) -> ResponseReturnValue:
            shown = await context(**values) if context else {}
            typed = {}
            if request.method != "POST":
                typed = kept.take()
            if typed:
                await flash("What you typed is here again. It is not saved yet.", "warning")
            form = Form(schema, **(shown | typed))
            form.shown_to = str(identity().user_id or "")
            if refused := g.pop("refused", None):  # by the route's rate limit
                await form.fill()
                form.refuse(refused)
            elif request.method == "POST" and (data := await form.read()):
                try:
                    response: ResponseReturnValue = await view(data, **values)
                except DomainError as error:
                    form.refuse(error)
                else:
                    return response
            return await form.page(template, **shown)

        setattr(page, FORM, lambda: Form(schema).kept)
        return cast(View, page)

    return decorate


def _field(name: str, info: FieldInfo, value: Any) -> FormField:
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
        value="" if value is None or kind == "password" else str(value),
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
