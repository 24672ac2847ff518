"""The security headers of every response, and rate limits in those of the API: an ASGI layer."""

from hypercorn.typing import (
    ASGIFramework,
    ASGIReceiveCallable,
    ASGISendCallable,
    ASGISendEvent,
    Scope,
)

from app.config import Config

# Everything comes from this server, and nothing is inline. `data:` is for images in stylesheets.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src "
    "'self'; "
    "connect-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)

HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}

# Probes come from inside the network, over http, and follow no redirects.
PROBES = ("/livez", "/readyz")


class SecurityHeaders:
    """Add the security headers to every response: pages, static files, redirects and errors.

    Also what `app.web.rate_limit_headers` has left in `scope["rate_limit_headers"]`.
    """

    def __init__(self, app: ASGIFramework, settings: Config) -> None:
        self.app = app
        headers = dict(HEADERS)
        if settings.secure and settings.HSTS_SECONDS:
            headers["strict-transport-security"] = f"max-age={settings.HSTS_SECONDS}" + (
                "; includeSubDomains" if settings.HSTS_INCLUDE_SUBDOMAINS else ""
            )
        self.headers = [(name.encode(), value.encode()) for name, value in headers.items()]

    async def __call__(
        self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        """Serve one request."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(event: ASGISendEvent) -> None:
            if event["type"] in ("http.response.start", "websocket.http.response.start"):
                present = {name for name, _ in event["headers"]}
                event["headers"] = [
                    *event["headers"],
                    *(h for h in self.headers if h[0] not in present),
                    *scope.get("rate_limit_headers", ()),  # type: ignore[misc]  # a key of ours
                ]
            await send(event)

        await self.app(scope, receive, send_with_headers)
