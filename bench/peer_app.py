"""What FastAPI's full-stack template does for /users/me, as short as it can be said.

A JWT names the user, one query in a thread loads the row, and Pydantic answers. There is no session
to revoke, no role and no rate limit. `bench.peer` installs what this imports.
"""

import os
from collections.abc import Iterator
from typing import Annotated

import jwt
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import OAuth2PasswordBearer
from pydantic import BaseModel
from sqlmodel import Field, Session, SQLModel, create_engine

KEY = "0123456789abcdef0123456789abcdef"

engine = create_engine(os.environ["PEER_DATABASE_URL"])
app = FastAPI()
token_of = OAuth2PasswordBearer(tokenUrl="/login")


class User(SQLModel, table=True):
    """The columns of this installation's users that the template has too."""

    __tablename__ = "users"
    id: int = Field(primary_key=True)
    email: str
    first_name: str
    last_name: str
    confirmed: bool


class UserOut(BaseModel):
    """The answer."""

    id: int
    email: str
    first_name: str
    last_name: str
    confirmed: bool


def session() -> Iterator[Session]:
    """Open a session for one request."""
    with Session(engine) as opened:
        yield opened


def current_user(
    opened: Annotated[Session, Depends(session)], token: Annotated[str, Depends(token_of)]
) -> User:
    """Return the user whom the token names."""
    user = opened.get(User, int(jwt.decode(token, KEY, algorithms=["HS256"])["sub"]))
    if user is None:
        raise HTTPException(404)
    return user


@app.get("/livez")
def livez() -> dict[str, str]:
    """Answer as soon as it runs."""
    return {"status": "ok"}


@app.get("/users/me", response_model=UserOut)
def read_user_me(user: Annotated[User, Depends(current_user)]) -> User:
    """Return the caller."""
    return user
