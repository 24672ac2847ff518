"""The settings: every field, its type, what excludes what, and its error messages."""
