"""Whether everything that this installation needs is there."""
