"""The home page. Its words are in `templates/site/home.html`."""

from quart import Blueprint, current_app, render_template

from app.config import DEFAULT_ADMIN_PASSWORD, settings
from app.web.access import limit, public
from app.web.identity import is_from_this_machine

site = Blueprint("site", __name__, template_folder="templates")


@site.get("/")
@public
@limit("PAGE_LIMIT")
async def home() -> str:
    """Show what this is; in development, on this machine, also what to do first."""
    return await render_template(
        "site/home.html",
        developing=settings.DEBUG and is_from_this_machine(),
        mailbox="mailbox" in current_app.blueprints,
        admin_email=settings.ADMIN_EMAIL,
        # Only development's own default is shown, which logs in from this machine alone.
        admin_password=(
            DEFAULT_ADMIN_PASSWORD if settings.ADMIN_PASSWORD == DEFAULT_ADMIN_PASSWORD else None
        ),
    )
