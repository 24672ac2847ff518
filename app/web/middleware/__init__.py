"""ASGI layers around the application, one for each file."""
