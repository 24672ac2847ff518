"""What is said where there is no default role."""

import re

from sqlalchemy import Engine, ExceptionContext, event
from sqlalchemy.exc import IntegrityError

from app.errors import NotReady


@event.listens_for(Engine, "handle_error")
def _explain_missing_role(context: ExceptionContext) -> None:
    """Raise `NotReady` where a user could not be inserted because there is no default role.

    The database itself only says that `users.role_id` must not be NULL.
    """
    if not isinstance(context.sqlalchemy_exception, IntegrityError):
        return
    message = str(context.original_exception)
    if re.search(r"users\.role_id|\"role_id\" of relation \"users\"", message):
        raise NotReady("There is no default role. Run: python manage.py setup-dev")
