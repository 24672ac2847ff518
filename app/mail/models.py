"""The outbox: who is told what, settled when the act itself is committed."""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import JSON, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from app.database import Base, utcnow
from app.validators.email_address import EmailAddress


class OutboxMail(Base):
    """A mail that is still to be sent, or was sent within the last day.

    The job that sends it carries its id alone.
    """

    __tablename__ = "outbox"
    __table_args__ = (Index("ix_outbox_email_kind", "email", "kind"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    kind: Mapped[str] = mapped_column(String(100))  # the name of the job that sends it
    email: Mapped[str] = mapped_column(String(254))
    email_as_typed: Mapped[str | None] = mapped_column(String(254))  # where it differs
    content: Mapped[dict[str, Any]] = mapped_column(JSON)
    created_at: Mapped[datetime] = mapped_column(default=utcnow, index=True)
    sent_at: Mapped[datetime | None]

    @property
    def to(self) -> EmailAddress:
        """The recipient."""
        return EmailAddress(self.email, self.email_as_typed)

    def __repr__(self) -> str:
        return f"<OutboxMail {self.kind} {self.id}>"
