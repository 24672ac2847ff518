"""The specification of the API: an OpenAPI 3.1 document, written from the routes themselves."""
