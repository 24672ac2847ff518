"""The commands that belong to no feature."""
