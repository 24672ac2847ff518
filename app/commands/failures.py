"""Expected failures of commands, in words."""

from alembic.util.exc import CommandError
from redis.exceptions import RedisError
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from app.checks import reason
from app.errors import Problem
from app.valkey import ValkeyUnavailable


def explain(error: Exception) -> str | None:
    """One clear line about an error that people can mend, or `None` for one that is a mistake of ours."""
    if isinstance(error, Problem | ValkeyUnavailable):
        return str(error)
    if isinstance(error, CommandError):
        return f"Alembic says: {error}"
    if isinstance(error, RedisError):
        return f"Redis cannot be used: {reason(error)}. Is it running, and is REDIS_URL right?"
    if isinstance(error, DBAPIError | ConnectionError | TimeoutError) or _is_database_away(error):
        return f"The database cannot be used: {reason(error)}. Is it running, and is DATABASE_URL right?"
    return None


def _is_database_away(error: Exception) -> bool:
    return isinstance(error, SQLAlchemyError) and isinstance(error.__cause__, OSError)
