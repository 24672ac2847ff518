"""The API as its specification says it, seen from outside."""
