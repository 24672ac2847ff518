"""The shapes of notes, in and out, in the order of the routes."""

from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field

from app.validators import Shape


class NoteIn(Shape):
    """A note to keep."""

    text: str = Field(
        title="Note",
        description="Up to 10,000 characters.",
        min_length=1,
        max_length=10_000,
        json_schema_extra={"input": "textarea"},
    )


class NoteOut(BaseModel):
    """A note as its author sees it."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    text: str
    created_at: datetime


class NoteRows(BaseModel):
    """A person's notes, the newest first."""

    notes: list[NoteOut]
