"""Cross-site request forgery: detected by headers, so forms need no hidden tokens.

Browsers say in Sec-Fetch-Site and Origin which site caused a request, and pages cannot change
either header.
"""

from werkzeug.datastructures import Headers

from app.config import Config
from app.validators.origins import sent_origin

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


def is_cross_site(method: str, path: str, headers: Headers, settings: Config) -> bool:
    """Tell whether a request may change something and, by its headers, comes from another site.

    Programs other than browsers send neither header and pass. So does a request with a bearer token
    and no cookie, since another site cannot make a browser send one.
    """
    if method in SAFE_METHODS:
        return False
    if headers.get("Authorization", "").lower().startswith("bearer ") and "Cookie" not in headers:
        return False
    sent = headers.get("Origin")
    origin = None if sent is None else sent_origin(sent)
    if path.startswith("/api/") and origin in settings.CORS_ORIGINS:
        return False
    # Sec-Fetch-Site first: under some referrer policies a page's own POST carries `Origin: null`.
    if site := headers.get("Sec-Fetch-Site"):
        return site not in ("same-origin", "none")
    if origin is None:
        return False
    if settings.DEBUG or settings.TESTING:
        # The Host header has no scheme: its default port is that of the origin.
        scheme = origin.partition("://")[0]
        return origin != sent_origin(f"{scheme}://{headers.get('Host', '')}")
    return origin != settings.BASE_URL


def cors_headers(path: str, origin: str | None, settings: Config) -> dict[str, str]:
    """Return the headers that let pages of a listed origin read the API; none for others."""
    if not path.startswith("/api/") or not settings.CORS_ORIGINS:
        return {}
    if origin is None or sent_origin(origin) not in settings.CORS_ORIGINS:
        return {"Vary": "Origin"}
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Headers": "Authorization, Content-Type, If-Match",
        "Access-Control-Allow-Methods": "GET, POST, PUT, PATCH, DELETE",
        "Access-Control-Expose-Headers": (
            "ETag, RateLimit, RateLimit-Policy, Retry-After, X-Request-Id, WWW-Authenticate"
        ),
        "Access-Control-Max-Age": "600",
        "Cross-Origin-Resource-Policy": "cross-origin",
        "Vary": "Origin",
    }
