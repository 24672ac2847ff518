"""What a developer's machine needs and the application never imports."""
