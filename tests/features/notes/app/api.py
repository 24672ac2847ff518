"""Notes under /api/v1/notes."""

from quart import Blueprint
from quart_schema import tag_blueprint, validate_request, validate_response

from app.database import db
from app.notes import service
from app.notes.schemas import NoteIn, NoteOut, NoteRows
from app.web import bodies
from app.web.access import limit, signed_in
from app.web.identity import identity

notes_api = Blueprint("notes_api", __name__, url_prefix="/api/v1/notes")
bodies.bound_forms(notes_api)
tag_blueprint(notes_api, ["notes"])


@notes_api.get("/")
@signed_in
@limit("API_LIMIT")
@validate_response(NoteRows)
async def list_notes() -> NoteRows:
    """List one's notes, the newest first."""
    async with db.session() as session:
        kept = await service.list_notes(session, identity())
    return NoteRows(notes=[NoteOut.model_validate(note) for note in kept])


@notes_api.post("/")
@signed_in
@limit("API_LIMIT")
@validate_request(NoteIn)
@validate_response(NoteOut, 201)
async def add_note(data: NoteIn) -> tuple[NoteOut, int]:
    """Keep a note."""
    async with db.transaction() as session:
        note = await service.add_note(session, identity(), data)
    return NoteOut.model_validate(note), 201
