"""Imports every feature's models, so that no table is ever forgotten. Nothing else."""

from app.accounts.models import Credential, Role, User
from app.jobs.models import Job, Schedule

__all__ = ["Credential", "Job", "Role", "Schedule", "User"]
