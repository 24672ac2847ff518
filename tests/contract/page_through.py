"""Log in with a generated client, and page through the users to the end; print their ids.

It runs where the client is installed, and takes JSON: the server's `url`, the client's `package`,
the modules of its operations `log_in` and `list_users`, an `email`, a `password` and a `limit`.
"""

import json
import sys
from importlib import import_module
from typing import get_type_hints

asked = json.loads(sys.argv[1])
package = import_module(asked["package"])
log_in, list_users = (
    import_module(f"{asked['package']}.api.{asked[name]}") for name in ("log_in", "list_users")
)

LogIn = get_type_hints(log_in.sync)["body"]
body = LogIn(email=asked["email"], password=asked["password"])
session = log_in.sync(client=package.Client(base_url=asked["url"]), body=body)
client = package.AuthenticatedClient(base_url=asked["url"], token=session.token)

pages, cursor = list[list[int]](), None
while not pages or cursor:
    page = list_users.sync(client=client, limit=asked["limit"], cursor=cursor)
    pages.append([user.id for user in page.items])
    cursor = page.next_
print(json.dumps(pages))
