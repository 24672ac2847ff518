"""Authentication: users, roles, credentials, identity, sessions, password hashing."""
