"""The feature of accounts: pages, API, jobs, menu entries and a card on the dashboard."""

from quart import Quart

import app.accounts.jobs  # declares the jobs
import app.accounts.link_views
import app.accounts.session_api
import app.accounts.token_api
import app.accounts.token_views  # noqa: F401  (these add their routes to the blueprints)
from app.accounts import figures, service
from app.accounts.admin import admin
from app.accounts.admin_api import admin_api
from app.accounts.api import accounts_api
from app.accounts.personal_data import add_export
from app.accounts.probes import emails
from app.accounts.views import accounts
from app.health.probes import add_probe
from app.jobs.schedule import every
from app.web.dashboard import add_card
from app.web.destinations import SignInPages, add_landing_page, set_sign_in_pages
from app.web.menus import add_entry, administrators

SIGN_IN_PAGES = SignInPages(
    login="accounts.login",
    logout="accounts.logout",
    register="accounts.register",
    reauthenticate="accounts.reauthenticate",
    reset_password="accounts.reset_password",  # noqa: S106  (a page, not a password)
    unconfirmed="accounts.unconfirmed",
    account="accounts.manage",
    change_password="accounts.change_password",  # noqa: S106
    password_strength="accounts_api.password_strength",  # noqa: S106
)


def init_app(app: Quart) -> None:
    """Register what accounts add to the application."""
    app.register_blueprint(accounts)
    app.register_blueprint(accounts_api)
    app.register_blueprint(admin)
    app.register_blueprint(admin_api)
    set_sign_in_pages(app, SIGN_IN_PAGES)
    add_entry(app, "account", "Account", "accounts.manage")
    add_entry(app, "account", "Password", "accounts.change_password")
    add_entry(app, "account", "Email", "accounts.change_email")
    add_entry(app, "account", "Sessions", "accounts.list_sessions")
    add_entry(app, "account", "Tokens", "accounts.manage_tokens", lambda who: who.confirmed)
    add_entry(app, "account", "Data", "accounts.delete_account")
    add_landing_page(app, "account", "Account", "accounts.manage")
    add_entry(app, "administration", "People", "people.index", administrators, position=10)
    add_entry(app, "administration", "Roles", "people.list_roles", administrators, position=20)
    add_card(app, "accounts/figures.html", figures.load_card, position=10)
    add_export(app, "account", service.export_account)
    add_export(app, "credentials", service.export_credentials)
    add_probe(app, emails)
    every(app, "7 * * * *", "accounts.delete_expired_credentials")
    every(app, "4 * * * *", "accounts.keep_sign_ups")
