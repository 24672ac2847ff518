"""Who is asking: users, roles, credentials, identity, sessions."""
