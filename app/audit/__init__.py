"""The trail as people see it. Without this feature it is written all the same."""
