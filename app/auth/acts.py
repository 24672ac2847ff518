"""What the trail records of sessions."""

from app.trail import Act

LOGGED_IN = Act("session.started", "Logged in")
LOGGED_OUT = Act("session.ended", "Logged out")
SESSION_REVOKED = Act("session.revoked", "A session or token was ended")
SESSIONS_REVOKED = Act("sessions.revoked", "Sessions and tokens were ended")
REAUTHENTICATED = Act("session.reauthenticated", "Entered the password again")
