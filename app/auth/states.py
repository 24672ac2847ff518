"""What an account is at the moment."""

import enum


class AccountState(enum.StrEnum):
    """What an account is: in use, not confirmed yet, invited but not accepted yet, or shut out.

    The database computes it from the other columns.
    """

    ACTIVE = "active"
    UNCONFIRMED = "unconfirmed"
    INVITED = "invited"
    DISABLED = "disabled"


STATE = (
    "CASE WHEN disabled_at IS NOT NULL THEN 'disabled' WHEN confirmed THEN 'active' "
    "WHEN password_hash IS NULL THEN 'invited' ELSE 'unconfirmed' END"
)
