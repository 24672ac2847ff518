"""Taking the trail away, which changes nothing but is worth an entry."""

from tests.accounts.surfaces import Request
from tests.scenes import Stage, scene


async def download(stage: Stage) -> None:
    browser = await stage.administrator()
    await stage.send(browser, Request("GET", "/admin/audit/trail.csv?act=user.created", True))


SCENES = [scene("audit_admin.download", "trail.downloaded", download)]

NOTHING: dict[str, str] = {}
