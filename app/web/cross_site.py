"""Refuses requests that another site makes a browser send. No hidden form tokens are needed.

Browsers say where a request comes from, in Sec-Fetch-Site and Origin, and pages cannot change
either.
"""

from werkzeug.datastructures import Headers

from app.config import Config

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})


def is_cross_site(method: str, path: str, headers: Headers, settings: Config) -> bool:
    """Whether this request changes something and comes, as far as its headers tell, from another
    site.

    A program that is no browser sends neither header and passes; so does one that shows a bearer
    token and no cookie, since nobody can make a browser add that.
    """
    if method in SAFE_METHODS:
        return False
    if headers.get("Authorization", "").lower().startswith("bearer ") and "Cookie" not in headers:
        return False
    origin = headers.get("Origin")
    if path.startswith("/api/") and origin in settings.CORS_ORIGINS:
        return False
    # Sec-Fetch-Site first: under some referrer policies a page's own POST carries `Origin: null`.
    if site := headers.get("Sec-Fetch-Site"):
        return site not in ("same-origin", "none")
    if origin is None:
        return False
    if settings.DEBUG or settings.TESTING:
        return origin.partition("://")[2] != headers.get("Host")
    return origin != settings.BASE_URL


def cors_headers(path: str, origin: str | None, settings: Config) -> dict[str, str]:
    """What allows a listed origin's pages to read the API's answers; nothing for everybody else."""
    if not path.startswith("/api/") or not settings.CORS_ORIGINS:
        return {}
    if origin not in settings.CORS_ORIGINS:
        return {"Vary": "Origin"}
    return {
        "Access-Control-Allow-Origin": str(origin),
        "Access-Control-Allow-Headers": "Authorization, Content-Type",
        "Access-Control-Allow-Methods": "GET, POST, PUT, PATCH, DELETE",
        "Access-Control-Max-Age": "600",
        "Cross-Origin-Resource-Policy": "cross-origin",
        "Vary": "Origin",
    }
