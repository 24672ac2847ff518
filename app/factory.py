"""Build the application: the one place where everything is wired, read from top to bottom."""

from functools import partial
from typing import Any, cast

from hypercorn.typing import ASGIFramework
from quart import Quart

from app import logs
from app.auth.hashing import Passwords
from app.config import load_settings
from app.database import Database
from app.environment import load_environment
from app.features import FEATURES
from app.health import probes
from app.health import views as health
from app.jobs import notifier, schedule
from app.limits import Limits
from app.mail import mailbox
from app.patches.quart_contexts import drop_flask_contexts
from app.redis import request_redis
from app.web import (
    access,
    api,
    bodies,
    dashboard,
    destinations,
    docs,
    errors,
    identity,
    menus,
    pages,
    websockets,
    well_known,
)
from app.web.application import Application
from app.web.middleware.draining import DrainedRefusals
from app.web.middleware.head_size import HeadSize
from app.web.middleware.headers import SecurityHeaders
from app.web.middleware.https import HttpsRedirect
from app.web.middleware.pacing import Pacing
from app.web.middleware.paths import OneSpelling
from app.web.middleware.proxies import TrustedProxies
from app.web.middleware.request_log import RequestLog
from app.web.middleware.sightings import Sightings
from app.web.middleware.static_files import StaticFiles


def create_app(config_name: str | None = None) -> Quart:
    """Build the application for a configuration, by default the one the environment names.

    Opens no connection. Raises `ConfigurationError`, which lists everything that is wrong.
    """
    load_environment()
    settings = load_settings(config_name)
    logs.configure(settings)

    app = Application("app", instance_path=str(settings.INSTANCE_PATH))
    app.config.update(settings.for_quart())
    app.debug = settings.DEBUG
    # Errors become pages in every configuration; unexpected ones are logged with a traceback.
    app.config["PROPAGATE_EXCEPTIONS"] = False
    app.url_map.strict_slashes = False  # no redirects: they would be built from the Host header
    app.url_map.merge_slashes = False

    app.extensions["settings"] = settings
    app.extensions["database"] = database = Database(settings)
    app.extensions["redis"] = redis = request_redis(settings)
    app.extensions["limits"] = Limits(redis, settings.redis_key("limits"))
    app.extensions["passwords"] = passwords = Passwords(settings)

    for part in (
        notifier,
        schedule,
        bodies,
        access,
        websockets,
        destinations,
        identity,
        menus,
        pages,
        well_known,
        errors,
        probes,
        dashboard,
    ):
        part.init_app(app)
    for feature in FEATURES:
        feature.init_app(app)
    for part in (api, docs, health):
        part.init_app(app)
    if settings.DEBUG or settings.TESTING:
        mailbox.init_app(app)
    drop_flask_contexts(app)

    @app.after_serving
    async def close() -> None:
        passwords.close()
        await redis.aclose(close_connection_pool=True)
        await database.dispose()

    # Outermost last: all layers see the client's own ip and scheme, every response has the security
    # headers, every request an id.
    sightings = Sightings(redis, settings)
    wrapped: Any = app.asgi_app
    for layer in (
        DrainedRefusals,
        partial(StaticFiles, served=app.extensions["files"]),
        Pacing,
        partial(HttpsRedirect, sightings=sightings),
        OneSpelling,
        HeadSize,
        RequestLog,
        SecurityHeaders,
        partial(TrustedProxies, sightings=sightings),
    ):
        wrapped = layer(cast(ASGIFramework, wrapped), settings)
    app.asgi_app = wrapped  # type: ignore[method-assign]  # the way Quart documents
    return app
