"""What browsers, search engines and people expect at fixed paths, beside the pages of features.

A team edits `static/robots.txt` and replaces `static/favicon.ico`. None of this needs a database.
"""

from datetime import UTC, datetime, timedelta

from quart import Blueprint, Quart, Response, ResponseReturnValue, abort, current_app, redirect

from app.config import DAY, settings
from app.web.access import unidentified, unlimited
from app.web.destinations import sign_in_url

well_known = Blueprint("well_known", __name__)

# RFC 9116 recommends less than a year; every request moves the date on.
SECURITY_TXT_DAYS = 180
CACHED = f"public, max-age={DAY}"


def init_app(app: Quart) -> None:
    """Register the routes."""
    app.register_blueprint(well_known)


@well_known.get("/.well-known/change-password")
@unidentified
@unlimited
async def change_password() -> ResponseReturnValue:
    """Redirect password managers to the page (https://w3c.github.io/webappsec-change-password-url).

    Whoever is not signed in is asked to log in there first.
    """
    return redirect(sign_in_url("change_password"), 303)


@well_known.get("/.well-known/security.txt")
@unidentified
@unlimited
async def security() -> ResponseReturnValue:
    """Say where to report vulnerabilities (RFC 9116). 404 while SECURITY_CONTACT is unset."""
    if not settings.SECURITY_CONTACT:
        abort(404)
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    lines = [
        f"Contact: {settings.SECURITY_CONTACT}",
        f"Expires: {today + timedelta(days=SECURITY_TXT_DAYS):%Y-%m-%dT%H:%M:%SZ}",
        f"Canonical: {settings.BASE_URL}/.well-known/security.txt",
        "Preferred-Languages: en",
    ]
    return Response("\n".join([*lines, ""]), content_type="text/plain; charset=utf-8")


@well_known.get("/robots.txt")
@unidentified
@unlimited
async def robots() -> ResponseReturnValue:
    """Serve the rules for search engines."""
    return await _static("robots.txt")


@well_known.get("/favicon.ico")
@unidentified
@unlimited
async def favicon() -> ResponseReturnValue:
    """Serve the icon to what does not read the link in pages: feed readers, old browsers."""
    return await _static("favicon.ico")


async def _static(name: str) -> Response:
    response = await current_app.send_static_file(name)
    response.headers["Cache-Control"] = CACHED
    return response
