"""What mail registers: the outbox's jobs, and the probe of the mail server."""

from quart import Quart

import app.mail.jobs  # noqa: F401  (declares the jobs)
from app.health.probes import add_probe
from app.jobs.schedule import every
from app.mail import probes


def init_app(app: Quart) -> None:
    """Register the schedule and the probe.

    The probe is for `check` alone: /readyz must not talk to another server.
    """
    every(app, "37 * * * *", "mail.delete_old")
    add_probe(app, probes.mail)
