"""Whether this installation has everything that it needs, and works."""
