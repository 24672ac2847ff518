"""What was typed into a form whose session had ended, kept until its user has signed in again.

It is kept in Quart's session cookie, signed but readable, and shown only to the user to whom the
form was shown: each form says who that was. Passwords and codes are never kept.
"""

import json
import time
from typing import Any
from urllib.parse import urlsplit

from quart import current_app, request, session
from werkzeug.exceptions import HTTPException

from app.config import settings
from app.web.access import FORM
from app.web.identity import identity

SHOWN_TO = "shown_to"  # the field of every form that holds the id of who is looking at it
TYPED = "typed"  # the key in Quart's session
SECONDS = 3600
# Characters of JSON. Browsers drop a cookie of more than 4 KB, which holds flashed messages too.
MAX_SIZE = 2000


async def keep() -> bool:
    """Keep what was posted to a form; return whether it is kept.

    It is not if the form was shown to nobody who is known, or if it is long, or holds nothing but
    passwords.
    """
    names_of = getattr(current_app.view_functions.get(str(request.endpoint)), FORM, None)
    if not names_of:
        return False
    try:
        posted = await request.form
    except HTTPException:  # too large, too slow or not storable
        return False
    owner = posted.get(SHOWN_TO) or str(identity().user_id or "")
    fields = {name: posted.get(name, "") for name in names_of()}
    if not owner or not any(fields.values()) or len(json.dumps(fields)) > MAX_SIZE:
        return False
    session[TYPED] = {
        "user": owner,
        "path": request.path,
        "fields": fields,
        "until": int(time.time()) + SECONDS,
    }
    return True


def take() -> dict[str, Any]:
    """Return what was typed into the form of this page and drop it; empty if nothing is kept.

    What another user typed is dropped as well.
    """
    who, found = identity().user_id, session.get(TYPED)
    if not who or not found:
        return {}
    is_mine = found["user"] == str(who) and found["until"] > time.time()
    if is_mine and found["path"] != request.path:
        return {}
    del session[TYPED]
    return dict(found["fields"]) if is_mine else {}


def forget() -> None:
    """Drop everything, for somebody who logs out."""
    session.pop(TYPED, None)


def page_of_form() -> str | None:
    """Return the path of the page whose form was posted, or None if it is not known."""
    if current_app.create_url_adapter(request).test(method="GET"):  # type: ignore[union-attr]  # there is a request
        return request.full_path.rstrip("?")
    try:
        came_from = urlsplit(request.headers.get("Referer", ""))
    except ValueError:
        return None
    if f"{came_from.scheme}://{came_from.netloc}" not in (settings.BASE_URL, request.host_url[:-1]):
        return None
    return came_from.path + (f"?{came_from.query}" if came_from.query else "")
