"""What editable pages add: the pages, their administration, an API and the entry "About"."""

from quart import Quart

from app.auth.identity import Identity
from app.content.admin import admin
from app.content.api import content_api
from app.content.models import EDIT_PAGES
from app.content.views import content
from app.web.menus import add_entry


def init_app(app: Quart) -> None:
    """Register everything that editable pages add."""
    app.register_blueprint(content)
    app.register_blueprint(admin)
    app.register_blueprint(content_api)
    add_entry(app, "footer", "About", "content.about")
    add_entry(app, "administration", "Pages", "page_admin.index", edits_pages, position=30)
    add_entry(app, "main", "Pages", "page_admin.index", only_edits_pages, position=100)


def edits_pages(identity: Identity) -> bool:
    """Show an entry to those who may edit pages."""
    return identity.can(EDIT_PAGES)


def only_edits_pages(identity: Identity) -> bool:
    """Show an entry to editors who do not administer: the others find it in administration."""
    return edits_pages(identity) and not identity.is_admin
