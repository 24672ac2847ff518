"""What a process that serves for long tells Python, once it has loaded what it needs."""

import gc
import logging


def settle() -> None:
    """Have Python search for garbage less often, and log records say less about where they arose.

    What is loaded by now is never freed: without `freeze` every full garbage collection would
    search it again and hold up everything for about 0.1 s. Collections of young objects are as
    frequent by default as in a script, and took a tenth of the time of a request, a fifth of that
    of a job.

    Which line and which thread wrote a record is not in our formats, and to find that out took
    longer than to write it. See "Optimization" in Python's logging HOWTO. Does nothing the second
    time in a process.
    """
    if gc.get_freeze_count():
        return
    gc.collect()
    gc.freeze()
    gc.set_threshold(5000, 20, 100)
    logging._srcfile = None
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
