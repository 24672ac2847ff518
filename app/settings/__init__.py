"""The settings: every field, its type, what excludes what, and mistakes in words."""
