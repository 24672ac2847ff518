"""The home page, administration's overview, the API's documentation, and the probes."""

from dataclasses import asdict
from pathlib import Path

from quart import Blueprint, Response, ResponseReturnValue, render_template, send_from_directory
from swagger_ui_bundle import swagger_ui_path

from app.accounts import service
from app.accounts.models import Permission
from app.database import db
from app.site.health import components, is_draining
from app.web.access import limit, public, requires, unidentified, unlimited

site = Blueprint("site", __name__, template_folder="templates")


@site.get("/")
@public
@limit("PAGE_LIMIT")
async def home() -> str:
    """Greet whoever comes."""
    return await render_template("site/home.html")


@site.get("/admin")
@requires(Permission.ADMINISTER)
@limit("PAGE_LIMIT")
async def admin() -> str:
    """How the parts are, and how many people there are."""
    async with db.session() as session:
        people, sessions = await service.count_people(session)
    return await render_template(
        "site/admin.html", components=await components(), people=people, sessions=sessions
    )


@site.get("/docs")
@public
@limit("PAGE_LIMIT")
async def docs() -> str:
    """The API's documentation, from files of this application."""
    return await render_template("site/docs.html")


@site.get("/docs/assets/<path:filename>")
@unidentified
@unlimited
async def docs_assets(filename: str) -> Response:
    """Swagger UI's own files."""
    return await send_from_directory(Path(swagger_ui_path), filename)


@site.get("/livez")
@unidentified
@unlimited
async def livez() -> ResponseReturnValue:
    """The process runs; nothing else is asked."""
    return {"status": "ok"}


@site.get("/readyz")
@unidentified
@unlimited
async def readyz() -> ResponseReturnValue:
    """Whether to send requests here: 503 without a database, or while the process stops."""
    found = await components()
    states = {component.state for component in found}
    status = (
        "draining"
        if is_draining()
        else "down"
        if "down" in states
        else "degraded"
        if "degraded" in states
        else "ok"
    )
    body = {"status": status, "components": [asdict(component) for component in found]}
    return body, 503 if status in ("draining", "down") else 200
