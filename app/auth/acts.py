"""What the trail records of sessions."""

from app.trail import Act

LOGGED_IN = Act("session.started", "Logged in")
LOGGED_OUT = Act("session.ended", "Logged out")
SESSION_REVOKED = Act("session.revoked", "A session was ended")
SESSIONS_REVOKED = Act("sessions.revoked", "Sessions and tokens were ended")
TOKEN_MADE = Act("token.made", "An API token was made")
TOKEN_ENDED = Act("token.ended", "An API token was ended")
REAUTHENTICATED = Act("session.reauthenticated", "Entered the password again")
