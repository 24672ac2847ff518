"""The pages of one's notes."""

from quart import Blueprint, ResponseReturnValue, flash, redirect, render_template, url_for

from app.database import db
from app.notes import service
from app.notes.schemas import NoteIn
from app.web import bodies
from app.web.access import limit, signed_in
from app.web.forms import form
from app.web.identity import identity

notes = Blueprint("notes", __name__, url_prefix="/notes", template_folder="templates")
bodies.bound_forms(notes)


@notes.get("/")
@signed_in
@limit("PAGE_LIMIT")
async def index() -> str:
    """List one's notes."""
    async with db.session() as session:
        kept = await service.list_notes(session, identity())
    return await render_template("notes/index.html", notes=kept)


@notes.get("/<int:note_id>")
@signed_in
@limit("PAGE_LIMIT")
async def show(note_id: int) -> str:
    """Show one note."""
    async with db.session() as session:
        note = await service.get_note(session, identity(), note_id)
    return await render_template("notes/show.html", note=note)


@notes.route("/new", methods=["GET", "POST"])
@signed_in
@limit("PAGE_LIMIT")
@form("notes/new.html", NoteIn)
async def new(note: NoteIn) -> ResponseReturnValue:
    """Write a note."""
    async with db.transaction() as session:
        await service.add_note(session, identity(), note)
    await flash("Your note is kept.", "success")
    return redirect(url_for("notes.index"), 303)
