"""The home page."""

from quart import Blueprint, render_template

from app.web.access import limit, public

site = Blueprint("site", __name__, template_folder="templates")


@site.get("/")
@public
@limit("PAGE_LIMIT")
async def home() -> str:
    """Greet whoever comes."""
    return await render_template("site/home.html")
