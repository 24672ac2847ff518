"""People: users, roles, credentials, sessions."""
