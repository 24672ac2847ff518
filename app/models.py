"""Imports every feature's models, so that no table is ever forgotten. Nothing else."""

from app.accounts.models import Credential, Role, User

__all__ = ["Credential", "Role", "User"]
