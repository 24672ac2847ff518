"""The application for an ASGI server: `hypercorn -c hypercorn.toml app.asgi:app`.

Importing this is starting the server, so what would make every request fail stops it here, in words.
"""

import gc
import sys

from app import create_app
from app.checks import check_database, demand_now
from app.errors import Problem

try:
    app = create_app()
    demand_now(check_database, app.extensions["settings"])
except Problem as problem:
    sys.exit(problem.message)

# What is loaded by now stays for good. Looking through it again in every full collection would hold up all requests for
# about 0.1 s each time.
gc.collect()
gc.freeze()
