"""Editable pages and every version of them."""

from datetime import datetime

from sqlalchemy import ForeignKey, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.auth.permissions import permission
from app.database import Base, utcnow

EDIT_PAGES = permission("pages.edit", "Edit pages")


class Page(Base):
    """A page by its slug, the last part of its url; its text is that of its newest version."""

    __tablename__ = "pages"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(primary_key=True)
    slug: Mapped[str] = mapped_column(String(64), unique=True)
    version: Mapped[int]  # the number of the newest one

    def __repr__(self) -> str:
        return f"<Page {self.slug}>"


class PageVersion(Base):
    """A version of a page; versions are only ever added."""

    __tablename__ = "page_versions"
    __table_args__ = (
        UniqueConstraint("page_id", "number"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    page_id: Mapped[int] = mapped_column(ForeignKey("pages.id", ondelete="CASCADE"))
    number: Mapped[int]
    title: Mapped[str] = mapped_column(String(200))
    text: Mapped[str] = mapped_column(Text)
    restored_from: Mapped[int | None]  # the number of the version that this one repeats
    author_id: Mapped[int | None] = mapped_column(
        ForeignKey("users.id", ondelete="SET NULL"), index=True
    )
    created_at: Mapped[datetime] = mapped_column(default=utcnow)

    page: Mapped[Page] = relationship(lazy="raise")
