"""What the queue registers: the deletion of old jobs, and its probes."""

from quart import Quart

import app.jobs.jobs  # noqa: F401  (declares the job)
from app.health.probes import add_probe
from app.jobs import probes
from app.jobs.schedule import every


def init_app(app: Quart) -> None:
    """Register the schedule and the probes."""
    every(app, "23 * * * *", "jobs.delete_finished")
    add_probe(app, probes.worker, ready=True)
    add_probe(app, probes.jobs)
