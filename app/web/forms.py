"""HTML forms from Pydantic schemas, so that pages and API validate alike.

Each error is shown beside its field.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import wraps
from typing import Any, Generic, TypeVar, cast

from pydantic import BaseModel, ValidationError
from quart import ResponseReturnValue, flash, g, render_template, request
from werkzeug.exceptions import BadRequest

from app.errors import DomainError
from app.validators.mistakes import messages
from app.web import kept
from app.web.access import FORM
from app.web.bodies import require_storable
from app.web.form_fields import FormField, field_of
from app.web.identity import identity

Schema = TypeVar("Schema", bound=BaseModel)
View = TypeVar("View", bound=Callable[..., Awaitable[Any]])

FORM_PROBLEMS = ""  # the key of errors that concern the form as a whole


class ShownToAnother(DomainError):
    """The form was shown to another account: somebody has logged in in another tab since."""

    code = "shown-to-another"


class Form(Generic[Schema]):
    """A form for a schema: empty, or as it was posted, with its errors.

    Labels are the titles of the schema's fields, hints their descriptions. `json_schema_extra` may
    set `input` (the type of input), `autocomplete`, `inputmode`, `options`, and `required` for a
    field that the page shows only where it is needed. `options` are those that only the database
    knows: (value, label) pairs by the name of their field.
    """

    def __init__(
        self,
        schema: type[Schema],
        *,
        options: Mapping[str, Sequence[tuple[str, str]]] | None = None,
        **values: Any,
    ) -> None:
        self.schema = schema
        self.problems: list[str] = []
        self.status = 200
        self.retry_after: int | None = None
        self.shown_to = ""  # the id of the user who is looking at it
        self._fields = {
            name: field_of(name, info, values.get(name))
            for name, info in schema.model_fields.items()
        }
        for name, pairs in (options or {}).items():
            self._fields[name].options = list(pairs)

    @property
    def fields(self) -> list[FormField]:
        """The fields in the schema's order.

        The first field with an error gets the focus, or else the first empty one.
        """
        fields = list(self._fields.values())
        focused = next((f for f in fields if f.errors), None) or next(
            (f for f in fields if not f.value), fields[0] if fields else None
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
            if field_.type not in ("password", "hidden", "file", "checks")
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
            elif field_.type == "checks":
                data[name] = posted.getlist(name)
                field_.chosen = set(data[name])
            elif field_.type == "file":
                data |= await self._uploaded(name)
            elif field_.type in ("select", "hidden") and not data.get(name, "-"):
                del data[name]  # nothing is chosen
            elif field_.type != "password":
                field_.value = str(data.get(name, ""))
        return data

    async def _uploaded(self, name: str) -> dict[str, str]:
        """Return the text of an uploaded file. Raises 400 for one that is no text in UTF-8."""
        file = (await request.files).get(name)
        content = file.read() if file else b""
        if not content:
            return {}
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise BadRequest(
                "The file is no text in UTF-8. Save it as CSV in UTF-8 and try again."
            ) from None
        require_storable(text)
        return {name: text}

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
