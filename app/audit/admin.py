"""The trail as administrators see it."""

from collections.abc import AsyncIterator
from typing import Any

from pydantic import ValidationError
from quart import (
    Blueprint,
    Response,
    ResponseReturnValue,
    render_template,
    request,
    stream_with_context,
)

from app.audit import service
from app.audit.schemas import EntryOut, TrailQuery
from app.auth.models import Permission
from app.database import db
from app.keyset import Page
from app.trail import ACTS
from app.validators.mistakes import messages
from app.web.access import limit, requires

admin = Blueprint("audit_admin", __name__, url_prefix="/admin/audit")

administers = requires(Permission.ADMINISTER)

WRONG = (ValidationError, service.UnknownPerson)


@admin.get("")
@administers
@limit("PAGE_LIMIT")
async def index() -> ResponseReturnValue:
    """Search the trail, newest first. Mistakes in the query are shown above the form."""
    try:
        async with db.session() as session:
            page = await service.search(session, _asked())
    except WRONG as error:
        return await _refuse(error)
    return await _page(page)


@admin.get("/trail.csv")
@administers
@limit("PAGE_LIMIT")
async def download() -> ResponseReturnValue:
    """Download what the search finds as CSV, as a stream. The download is in the trail itself."""
    if request.method == "HEAD":
        return _csv("")
    try:
        async with db.transaction() as session:
            wanted = await service.begin_download(session, _asked())
    except WRONG as error:
        return await _refuse(error)
    response = _csv(stream_with_context(service.as_csv)(wanted))
    response.timeout = None  # a long trail takes longer than a page
    return response


def _csv(lines: AsyncIterator[str] | str) -> Response:
    response = Response(lines, content_type="text/csv; charset=utf-8")
    response.headers["Content-Disposition"] = 'attachment; filename="trail.csv"'
    return response


def _asked() -> TrailQuery:
    return TrailQuery.model_validate(request.args.to_dict())


async def _refuse(error: ValidationError | service.UnknownPerson) -> ResponseReturnValue:
    if isinstance(error, ValidationError):
        wrong = {mistake["field"]: mistake["message"] for mistake in messages(error)}
    else:
        wrong = {"person": error.message}
    return await _page(Page([]), wrong), 422


async def _page(page: Page[Any], wrong: dict[str, str] | None = None) -> str:
    entries = [EntryOut.of(entry) for entry in page.items]
    return await render_template(
        "audit/index.html",
        page=page,
        entries=entries,
        asked=request.args,
        acts=sorted(ACTS.items(), key=lambda act: act[1]),
        wrong=wrong or {},
    )
