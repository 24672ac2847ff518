"""Accounts: registration, passwords, email addresses, invitations, sessions."""
