"""Notes: short texts that people keep for themselves."""
