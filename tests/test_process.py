"""What a process that serves for long tells Python."""

import subprocess
import sys

SETTLE = """
import gc, logging, sys
from app.process import settle
held = [object() for _ in range(10)]
settle()
threshold, frozen = gc.get_threshold(), gc.get_freeze_count()
del held
settle()
logging.basicConfig(stream=sys.stdout, format="%(process)d %(threadName)s %(message)s", force=True)
logging.warning("written")
print(threshold, frozen > 1000, gc.get_freeze_count() <= frozen)
"""


def test_it_settles_once_and_logs_go_on() -> None:
    done = subprocess.run([sys.executable, "-c", SETTLE], capture_output=True, text=True)
    written, told = done.stdout.splitlines()
    assert written.endswith("MainThread written"), done.stderr
    assert told == "(5000, 20, 100) True True"
