"""What Pydantic finds wrong, as sentences for people."""

from typing import Any

from pydantic import ValidationError

MOST_MISTAKES = 20  # that an answer names
LONGEST_NAME = 100  # characters


def messages(error: ValidationError) -> list[dict[str, str]]:
    """Return the first mistakes as a field and a message, without the value: it may be a password.

    The name of a field that there is not was sent as well, so it is cut.
    """
    found = error.errors(include_url=False, include_input=False)
    return [
        {
            "field": ".".join(str(part) for part in mistake["loc"])[:LONGEST_NAME],
            "message": in_words(mistake["type"], mistake),
        }
        for mistake in found[:MOST_MISTAKES]
    ]


def in_words(kind: str, mistake: Any) -> str:
    """Return a mistake that Pydantic found as a sentence for people."""
    context = mistake.get("ctx", {})
    if kind in ("missing", "string_too_short", "too_short") and context.get("min_length", 1) == 1:
        return "This field is required."
    if kind in ("string_too_long", "too_long"):
        return f"Use at most {context['max_length']} characters."
    if kind in ("string_too_short", "too_short"):
        return f"Use at least {context['min_length']} characters."
    if kind == "extra_forbidden":
        return "There is no such field."
    message = str(mistake["msg"])
    return message if message.endswith(".") else f"{message}."
