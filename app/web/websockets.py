"""The guard of websockets, as `app.web.access` has one for requests."""

from quart import Quart, current_app, websocket

from app.config import settings
from app.limits import limits, rate_limit_ip
from app.validators.origins import sent_origin
from app.web.access import declared, rule_of
from app.web.refusals import Forbidden


def init_app(app: Quart) -> None:
    """Run the guard before every websocket is opened."""
    app.before_websocket(guard_websocket)


async def guard_websocket() -> None:
    """Refuse websockets of other origins: browsers let every site open one with our cookies."""
    if websocket.routing_exception is not None:
        return
    access, declared_limit = declared(current_app.view_functions[str(websocket.endpoint)])
    if access is None or declared_limit is None:
        raise Forbidden("This websocket is closed: it does not say who may use it, or how often.")
    origin = websocket.headers.get("Origin")
    if origin is not None and sent_origin(origin) != settings.BASE_URL:
        raise Forbidden("This websocket was opened by another site.")
    if access.signed_in:
        # Refused rather than let in without a check.
        raise Forbidden("Nobody can be recognised on a websocket yet.")
    if declared_limit:
        await limits.hit(
            "route",
            rule_of(declared_limit),
            declared_limit,
            rate_limit_ip(websocket.remote_addr or ""),
        )
