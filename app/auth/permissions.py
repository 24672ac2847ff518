"""The permissions that features name: roles grant them beside flask-base's own two."""

import re

PERMISSIONS: dict[str, str] = {}  # name → words, of every permission that a loaded feature declares


def permission(name: str, words: str) -> str:
    """Declare a permission and return its name, for `requires` and `Identity.can`.

    A feature calls this once, as a constant beside its models. Raises `ValueError` for a name that
    is taken, or is no `feature.verb`.
    """
    if not re.fullmatch(r"[a-z_]+\.[a-z_]+", name):
        raise ValueError(f"{name!r} is no name of a permission: write it as feature.verb.")
    if PERMISSIONS.setdefault(name, words) != words:
        raise ValueError(f"Two permissions are named {name!r}.")
    return name
