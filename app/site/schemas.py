"""The shapes of the site's own answers."""

from pydantic import BaseModel


class ComponentOut(BaseModel):
    """How one part is: ok, degraded or down, and in words why."""

    name: str
    state: str
    detail: str


class Readiness(BaseModel):
    """Whether to send requests here."""

    status: str
    components: list[ComponentOut]
