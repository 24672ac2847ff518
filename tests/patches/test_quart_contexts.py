"""Flask's context of templates in Quart's blueprints."""

from flask.templating import _default_template_ctx_processor
from quart import Blueprint, Quart

from app.patches.quart_contexts import drop_flask_contexts


def test_blueprints_still_bring_flask_s_context() -> None:
    processors = Blueprint("example", __name__).template_context_processors[None]
    assert processors == [_default_template_ctx_processor], (
        "delete app/patches/quart_contexts.py: it is needed no more"
    )


def test_it_is_dropped() -> None:
    app = Quart("example")
    app.register_blueprint(Blueprint("example", __name__))
    drop_flask_contexts(app)
    assert app.template_context_processors["example"] == []
    assert len(app.template_context_processors[None]) == 1, "Quart's own stays"
