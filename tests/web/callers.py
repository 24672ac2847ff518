"""Every route, and a browser of each kind of person."""

from uuid import uuid4

from quart import Quart
from quart.typing import TestClientProtocol as Browser
from werkzeug.routing import (
    AnyConverter,
    BaseConverter,
    FloatConverter,
    IntegerConverter,
    Rule,
    UUIDConverter,
)

from app.accounts import roles
from app.auth.permissions import PERMISSIONS
from tests.factories.people import log_in, make_person, make_role

# A value for a parameter of each kind, in the order in which they are tried.
VALUES: tuple[tuple[type[BaseConverter], str], ...] = (
    (IntegerConverter, "999999"),
    (FloatConverter, "1.5"),
    (UUIDConverter, str(uuid4())),
    (BaseConverter, "nonsense"),
)


def value_for(converter: BaseConverter) -> str:
    """Return a value that a parameter of a route takes."""
    if isinstance(converter, AnyConverter):
        return min(converter.items)
    return next(value for kind, value in VALUES if isinstance(converter, kind))


def routes(app: Quart) -> list[tuple[str, str, Rule]]:
    """Return every (method, path, rule) there is."""
    return [
        (method, built[1], rule)
        for rule in app.url_map.iter_rules()
        if (built := rule.build({n: value_for(rule._converters[n]) for n in rule.arguments}))
        for method in sorted((rule.methods or set()) - {"OPTIONS"})
    ]


async def callers(app: Quart) -> dict[str, Browser]:
    """Return a browser of each kind of person."""
    people = {
        "nobody": None,
        "unconfirmed": await make_person(confirmed=False),
        "member": await make_person(),
        "editor": await make_person(role=await make_role(*PERMISSIONS)),
        "administrator": await make_person(role=roles.ADMINISTRATOR),
    }
    browsers = {kind: app.test_client() for kind in people}
    for kind, person in people.items():
        if person:
            await log_in(browsers[kind], person)
    return browsers
