"""The application's class: Quart, with what every request asks of it made direct."""

from inspect import CO_COROUTINE
from typing import Any
from urllib.parse import urlsplit

from jinja2 import StrictUndefined
from quart import Quart, Websocket
from quart.globals import _cv_request
from quart.wrappers.base import BaseRequestWebsocket
from werkzeug.routing import MapAdapter

from app.patches.quart_connections import DirectConnection


class Application(Quart):
    """Quart, with every URL built from BASE_URL: a request's Host header changes none."""

    jinja_options = {"undefined": StrictUndefined}  # noqa: RUF012  (the class attribute that Quart reads)

    asgi_http_class = DirectConnection

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._urls: dict[tuple[str, str, str], str] = {}
        self._bound: MapAdapter | None = None

    def url_for(
        self,
        endpoint: str,
        *,
        _anchor: str | None = None,
        _external: bool | None = None,
        _method: str | None = None,
        _scheme: str | None = None,
        **values: Any,
    ) -> str:
        """Return the url of an endpoint. Those that pages link to again and again are kept."""
        context = _cv_request.get(None)
        if context is None or values or _anchor or _external or _method or _scheme:
            options = {"_anchor": _anchor, "_external": _external, "_method": _method}
            return super().url_for(endpoint, **options, _scheme=_scheme, **values)  # type: ignore[arg-type]
        asked = context.request
        # Which rule an endpoint means depends on the method.
        key = (endpoint, asked.method, asked.root_path)
        url = self._urls.get(key)
        if url is None:
            url = super().url_for(endpoint)
            # A relative endpoint means another one elsewhere, functions of features may add values
            # of the request, and there is no end of methods.
            changing = endpoint.startswith(".") or any(self.url_default_functions.values())
            if not changing and asked.method in ("GET", "POST"):
                self._urls[key] = url
        return url

    def ensure_async(self, func: Any) -> Any:
        """Return a function to await. Quart's test of whether it is one is slow."""
        code = getattr(func, "__code__", None)
        if code is not None and code.co_flags & CO_COROUTINE:
            return func
        return super().ensure_async(func)

    def create_url_adapter(self, request: BaseRequestWebsocket | None) -> MapAdapter:
        """Return what matches paths and builds URLs, bound to BASE_URL."""
        if self._bound is None:
            base = urlsplit(self.config["BASE_URL"])
            self._bound = self.url_map.bind(base.netloc, url_scheme=base.scheme)
        bound = self._bound
        if request is None:
            return bound
        scheme = bound.url_scheme
        if isinstance(request, Websocket):
            # Routing tells websockets by their scheme. With another scheme they would match pages
            # and pass by the guard of websockets.
            scheme = scheme.replace("http", "ws")
        return MapAdapter(  # as `bind` makes it, without encoding the host each time
            self.url_map,
            bound.server_name,
            request.root_path or "/",
            bound.subdomain,
            scheme,
            request.path,
            request.method,
            request.query_string.decode("latin1"),
        )
