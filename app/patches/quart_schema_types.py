"""quart-schema 0.25: a JSON body may hold values of other types than its specification says.

It has Pydantic convert what can be converted, as in a query string, where everything is text: 0 and
"no" pass for false, and "5" for 5.
"""

import json
from functools import cache
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter, ValidationError
from quart_schema import RequestSchemaValidationError, validation
from quart_schema.conversion import model_load

T = TypeVar("T")


@cache
def adapter(model_class: Any) -> TypeAdapter[Any]:
    """Return what validates a class of schemas; to make it takes as long as to validate."""
    return TypeAdapter(model_class)


def load(data: Any, model_class: type[T], exception_class: type[Exception], **options: Any) -> T:
    """Validate what quart-schema hands over; a JSON body strictly, by the rules of JSON.

    By these a date is a string and a set is a list: Python's own would refuse both.
    """
    if exception_class is not RequestSchemaValidationError:
        return model_load(data, model_class, exception_class, **options)
    try:
        return cast(T, adapter(cast(Any, model_class)).validate_json(json.dumps(data), strict=True))
    except ValidationError as error:
        raise exception_class(error) from None


def apply() -> None:
    """Let `validate_request` use it."""
    validation.model_load = load  # type: ignore[attr-defined]  # a name that it imports
