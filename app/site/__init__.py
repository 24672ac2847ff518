"""The home page, health, the API's documentation."""
