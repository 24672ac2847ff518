"""The shape that everything extends that comes in."""

from pydantic import BaseModel, ConfigDict


class Shape(BaseModel):
    """What somebody sends. Unknown fields are refused, so that nobody slips in a role."""

    model_config = ConfigDict(extra="forbid")
