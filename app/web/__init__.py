"""What all pages and API endpoints share: access, forms, errors, menus."""
