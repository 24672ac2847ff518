"""What the site adds: the home page."""

from quart import Quart

from app.site.views import site
from app.web.destinations import set_home
from app.web.menus import add_entry


def init_app(app: Quart) -> None:
    """Register the home page."""
    app.register_blueprint(site)
    set_home(app, "site.home")
    add_entry(app, "main", "Home", "site.home", position=0)
