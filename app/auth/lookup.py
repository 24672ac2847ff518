"""Finding the account of an address."""

from typing import TypeVarTuple

from sqlalchemy import Select

from app.auth.models import User
from app.validators.email_address import exact, normalised

Columns = TypeVarTuple("Columns")


def with_email(query: Select[*Columns], email: str) -> Select[*Columns]:
    """Restrict a query of users to the account of an address in any spelling.

    The address exactly as stored comes first: two accounts of an earlier release may have the same
    normal form, and the one whose address is not stored in it is found by the text that it is
    stored as. No new account gets such an address, so nobody can put one in front of somebody
    else's.
    """
    # PostgreSQL takes no NUL, and no account has one.
    own, normal = ("" if "\0" in form else form for form in (exact(email), str(normalised(email))))
    return query.where(User.email.in_({own, normal})).order_by(User.email != own).limit(1)
