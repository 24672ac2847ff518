"""The home page, which a team replaces with its own."""
