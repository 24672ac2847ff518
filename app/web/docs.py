"""The page of the API's documentation, shown by Swagger UI from files of this server."""

from functools import cache
from importlib.metadata import distribution
from pathlib import Path

from quart import Blueprint, Quart, Response, render_template
from werkzeug.exceptions import NotFound

from app.web import files
from app.web.access import limit, public, unidentified, unlimited
from app.web.menus import add_entry

docs = Blueprint("docs", __name__)


def init_app(app: Quart) -> None:
    """Serve /docs."""
    app.register_blueprint(docs)
    files.serve(app, "/docs/assets/", viewer)
    app.before_serving(load_viewer)
    add_entry(app, "main", "API", "docs.index", position=90)


@docs.get("/docs")
@public
@limit("PAGE_LIMIT")
async def index() -> str:
    """Show the API's documentation."""
    return await render_template("docs.html", viewer=viewer())


@docs.get("/docs/assets/<path:filename>")
@unidentified
@unlimited
async def assets(filename: str) -> Response:
    """Stand for Swagger UI's own files, of which there is none of this name."""
    raise NotFound


async def load_viewer() -> None:
    """Read and compress the viewer before the first request, which would wait for it."""
    viewer()


@cache
def viewer() -> dict[str, files.File]:
    """Return those files of Swagger UI that the page uses: it comes with many more.

    The package that brings them is not imported: it is a blueprint for Flask.
    """
    package = distribution("flask-swagger-ui")
    folder = Path(str(package.locate_file("flask_swagger_ui/dist")))
    return files.read(folder, "swagger-ui.css") | files.read(folder, "swagger-ui-bundle.js")
