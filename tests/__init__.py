"""The tests; their folders mirror app/."""
