"""What a process that serves for long tells Python, once it has loaded what it needs."""

import gc
import logging

_settled = False


def settle() -> None:
    """Have Python search for garbage less often, and log records not say which line wrote them.

    What is loaded by now is never freed: without `freeze` every full garbage collection would
    search it again and hold up everything for about 0.1 s. Collections of young objects are as
    frequent by default as in a script, and took a tenth of the time of a request, a fifth of that
    of a job.

    The line is not in our formats, and to find it out took longer than to write the record: see
    "Optimization" in Python's logging HOWTO. Does nothing the second time in a process.
    """
    global _settled
    if _settled:
        return
    _settled = True
    gc.collect()
    gc.freeze()
    gc.set_threshold(5000, 20, 100)
    logging._srcfile = None
