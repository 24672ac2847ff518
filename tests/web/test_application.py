"""Urls that are kept, and functions that are called as they are."""

from quart import Quart, url_for

from app.web.application import Application


def made() -> Application:
    app = Application("tests")
    app.config["BASE_URL"] = "https://example.com"

    async def view() -> str:
        return ""

    app.add_url_rule("/shown", "thing", view, methods=["GET"])
    app.add_url_rule("/done", "thing", view, methods=["POST"])
    app.add_url_rule("/<language>/page", "page", view)
    return app


async def test_a_url_depends_on_method_and_mount_point() -> None:
    app = made()
    for _ in range(2):
        async with app.test_request_context("/shown"):
            assert url_for("thing") == "/shown"
            assert url_for("thing", _external=True) == "https://example.com/shown"
            assert url_for("thing", _anchor="x", q="1") == "/shown?q=1#x"
        async with app.test_request_context("/done", method="POST"):
            assert url_for("thing") == "/done"
        async with app.test_request_context("/shown", root_path="/below"):
            assert url_for("thing") == "/below/shown"
    async with app.app_context():
        assert url_for("thing") == "https://example.com/shown"


async def test_values_that_a_feature_adds_to_urls_are_the_requests_own() -> None:
    app = made()
    spoken = ["de", "fr"]

    @app.url_defaults
    def add_language(endpoint: str, values: dict[str, str]) -> None:
        if endpoint == "page":
            values["language"] = spoken[0]

    async with app.test_request_context("/shown"):
        assert url_for("page") == "/de/page"
        spoken.reverse()
        assert url_for("page") == "/fr/page"


async def test_relative_endpoints_mean_the_blueprint_of_the_request(app: Quart) -> None:
    async with app.test_request_context("/docs"):
        assert url_for(".index") == "/docs"
    async with app.test_request_context("/admin/"):
        assert url_for(".index") == "/admin"


async def test_no_end_of_methods_is_kept() -> None:
    app = made()
    for number in range(5):
        async with app.test_request_context("/shown", method=f"M{number}"):
            url_for("thing")
    assert not app._urls
