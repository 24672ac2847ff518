"""What the trail records of itself."""

from app.trail import Act

DOWNLOADED = Act("trail.downloaded", "Trail downloaded")
