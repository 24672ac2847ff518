"""How long Hypothesis tries: the same sequences in each run, or others for some minutes."""

import os
from typing import Any

from hypothesis import HealthCheck, Phase
from hypothesis import settings as hypothesis

COMMON: dict[str, Any] = {
    "deadline": None,
    "database": None,
    "print_blob": True,
    "phases": [Phase.generate, Phase.shrink],
    "suppress_health_check": list(HealthCheck),
}


def profile(*, examples: int, steps: int) -> hypothesis:
    """Return the profile of `HYPOTHESIS_PROFILE`: by default these examples, else `long`."""
    if os.environ.get("HYPOTHESIS_PROFILE") == "long":
        return hypothesis(max_examples=500, stateful_step_count=60, derandomize=False, **COMMON)
    return hypothesis(max_examples=examples, stateful_step_count=steps, derandomize=True, **COMMON)
