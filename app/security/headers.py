"""The security headers of every answer, and the redirect to https."""

from hypercorn.typing import ASGIFramework, ASGIReceiveCallable, ASGISendCallable, ASGISendEvent, Scope

from app.config import DAY, Config

# Everything comes from this application and nothing is inline. `data:` images are those inside stylesheets.
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "manifest-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
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
STRICT_TRANSPORT_SECURITY = f"max-age={365 * DAY}; includeSubDomains"

# Probes come from inside, over http, and follow no redirects.
PROBES = ("/livez", "/readyz")


class SecurityHeaders:
    """The outermost ASGI layer: its headers are on pages, static files and errors alike."""

    def __init__(self, app: ASGIFramework, settings: Config) -> None:
        self.app = app
        self.base_url = settings.BASE_URL if settings.secure else None
        headers = HEADERS | ({"strict-transport-security": STRICT_TRANSPORT_SECURITY} if settings.secure else {})
        self.headers = [(name.encode(), value.encode()) for name, value in headers.items()]

    async def __call__(self, scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(event: ASGISendEvent) -> None:
            if event["type"] == "http.response.start":
                present = {name for name, _ in event["headers"]}
                event["headers"] = [*event["headers"], *(h for h in self.headers if h[0] not in present)]
            await send(event)

        if self.base_url and scope["scheme"] == "http" and scope["path"] not in PROBES:
            query = b"?" + scope["query_string"] if scope["query_string"] else b""
            location = self.base_url.encode() + (scope["raw_path"].split(b"?")[0] or b"/") + query
            headers = [(b"location", location), (b"content-length", b"0")]
            await send_with_headers({"type": "http.response.start", "status": 308, "headers": headers})
            await send_with_headers({"type": "http.response.body", "body": b"", "more_body": False})
            return
        await self.app(scope, receive, send_with_headers)
