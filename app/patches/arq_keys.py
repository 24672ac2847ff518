"""arq 0.28: the names of its keys in Redis cannot be given a prefix.

A server that several applications share tells them apart, and lets each user see its own only, by
the beginning of the keys. arq takes the name of a queue and of its health check, but not those of
its other keys (https://github.com/python-arq/arq/issues/436). Each module of arq holds them as
constants and reads these when it uses them, so they can be changed until a worker starts.
"""

from arq import connections, constants, jobs, worker

MODULES = (constants, connections, jobs, worker)
NAMES = tuple(name for name, value in vars(constants).items() if str(value).startswith("arq:"))
ORIGINAL = {name: getattr(constants, name) for name in NAMES}


def prefix_keys(prefix: str) -> None:
    """Make all keys of arq in this process begin with `prefix`; a second call replaces the first.

    Neither the default of `queue_name` changes nor that of `health_check_key`: pass both.
    """
    for module in MODULES:
        for name in NAMES:
            if hasattr(module, name):
                setattr(module, name, prefix + ORIGINAL[name])
