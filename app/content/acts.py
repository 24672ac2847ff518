"""What the trail records of pages."""

from app.trail import Act

SAVED = Act("page.saved", "Page saved")
RESTORED = Act("page.restored", "Older version of a page restored")
DELETED = Act("page.deleted", "Page deleted")
