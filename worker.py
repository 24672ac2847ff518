"""The worker, for `arq worker.WorkerSettings`.

Importing it prepares a worker, and exits if that cannot run: arq offers no later moment.
"""

import sys

from app.errors import Problem
from app.worker import worker_settings

try:
    WorkerSettings = worker_settings(alone=True)
except Problem as problem:
    sys.exit(problem.message)
