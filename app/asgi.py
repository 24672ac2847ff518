"""The application for an ASGI server: `hypercorn -c hypercorn.toml app.asgi:app`.

Importing this module starts the application. It exits with one line on stderr when every request
would fail: for a configuration or a database that cannot be used.
"""

import sys

from quart import current_app

from app import create_app
from app.errors import Problem
from app.health import probes
from app.health.announcement import announce
from app.patches.hypercorn_buffers import bound_buffers
from app.patches.hypercorn_client_mistakes import log_client_mistakes_as_info
from app.patches.hypercorn_framing import refuse_ambiguous_requests
from app.patches.hypercorn_gone_clients import let_clients_go
from app.patches.hypercorn_header_size import read_announced_header_size
from app.patches.hypercorn_shutdown import stop_in_order
from app.process import settle

refuse_ambiguous_requests()
bound_buffers()
read_announced_header_size()
log_client_mistakes_as_info()
let_clients_go()

try:
    app = create_app()
    probes.require_now(app.extensions["settings"], probes.database)
    announce(app.extensions["settings"])
except Problem as problem:
    sys.exit(problem.message)


@app.before_serving
async def prepare_to_stop() -> None:
    """Lose no connection on SIGTERM, and wait for none longer than `graceful_timeout`."""
    stop_in_order(current_app.extensions["draining"])


settle()
