"""Quart 0.22: blueprints bring Flask's context of templates, which costs a thread for each page.

Quart's blueprints inherit the processor from Flask's. It finds no context of Flask's, so it returns
nothing; but it is no coroutine function, so it runs in a thread.
"""

from flask.templating import _default_template_ctx_processor
from quart import Quart


def drop_flask_contexts(app: Quart) -> None:
    """Remove the processor of Flask's. Call this when all blueprints are registered."""
    for processors in app.template_context_processors.values():
        if _default_template_ctx_processor in processors:
            processors.remove(_default_template_ctx_processor)
