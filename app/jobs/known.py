"""Imports every feature's jobs, so that no name is ever forgotten. Nothing else."""

import app.accounts.jobs
import app.jobs.jobs

__all__ = ["app"]
