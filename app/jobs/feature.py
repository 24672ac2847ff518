"""What the queue registers: its pages, an API, a card, its schedule and its probes."""

from quart import Quart

import app.jobs.jobs  # noqa: F401  (declares the jobs)
from app.health.probes import add_probe
from app.jobs import figures, probes
from app.jobs.admin import admin
from app.jobs.api import jobs_api
from app.jobs.schedule import every
from app.web.dashboard import add_card
from app.web.menus import add_entry, administrators


def init_app(app: Quart) -> None:
    """Register everything that the queue adds."""
    app.register_blueprint(admin)
    app.register_blueprint(jobs_api)
    add_entry(app, "administration", "Jobs", "jobs.index", administrators, position=50)
    add_card(app, "jobs/figures.html", figures.load_card, position=20)
    every(app, "23 * * * *", "jobs.delete_finished")
    every(app, "21 * * * *", "jobs.keep_finished")  # before they are deleted
    add_probe(app, probes.worker, ready=True)
    add_probe(app, probes.jobs)
