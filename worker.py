"""The worker, for `arq worker.WorkerSettings`.

Importing this is starting one: arq offers no earlier moment.
"""

import sys

from app.errors import Problem
from app.worker import worker_settings

try:
    WorkerSettings = worker_settings()
except Problem as problem:
    sys.exit(problem.message)
