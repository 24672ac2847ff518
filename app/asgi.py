"""The application for an ASGI server: `hypercorn -c hypercorn.toml app.asgi:app`.

Importing this is starting the server, so what would make every request fail stops it here, in words.
"""

import sys

from app import create_app
from app.checks import check_database, demand_now
from app.errors import Problem

try:
    app = create_app()
    demand_now(check_database, app.extensions["settings"])
except Problem as problem:
    sys.exit(problem.message)
