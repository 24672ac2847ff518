"""What the trail records of accounts and roles."""

from app.trail import Act

REGISTERED = Act("user.registered", "Registered")
CREATED = Act("user.created", "Account created")
INVITED = Act("user.invited", "Invited")
CONFIRMED = Act("user.confirmed", "Address confirmed")
SET_UP = Act("user.set_up", "Account set up by the owner of its address")
INVITATION_ACCEPTED = Act("user.accepted", "Invitation accepted")
RENAMED = Act("user.renamed", "Renamed")
PASSWORD_CHANGED = Act("user.password_changed", "Password changed")
PASSWORD_RESET = Act("user.password_reset", "Password set with a mailed link")
EMAIL_CHANGE_REQUESTED = Act("user.email_change_requested", "Another address requested")
EMAIL_CHANGED = Act("user.email_changed", "Address changed")
EMAIL_REVERTED = Act("user.email_reverted", "Change of address reverted")
LINK_MAILED = Act("user.link_mailed", "A link was mailed")
RESET_SENT = Act("user.reset_sent", "Password reset sent")
ROLE_CHANGED = Act("user.role_changed", "Role changed")
DISABLED = Act("user.disabled", "Disabled")
ENABLED = Act("user.enabled", "Enabled")
DELETED = Act("user.deleted", "Account deleted")
PROMOTED = Act("user.promoted", "Made administrator, with a new password")

ROLE_CREATED = Act("role.created", "Role created")
ROLE_EDITED = Act("role.changed", "Role edited")
ROLE_DELETED = Act("role.deleted", "Role deleted")
