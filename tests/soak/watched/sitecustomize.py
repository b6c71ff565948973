"""Loaded by every process of a router whose PYTHONPATH begins here: on SIGRTMIN it writes how many objects it has.

The file is $SOAK_OBJECTS/PID: objects of the data plane, by class, and all that the garbage collector knows.
"""

import gc
import json
import os
import signal
from collections import Counter
from pathlib import Path

DIRECTORY = Path(os.environ["SOAK_OBJECTS"])


def tell(_signal: int, _frame: object) -> None:
    objects = gc.get_objects()
    kinds = Counter(type(one).__name__ for one in objects if type(one).__module__ == "fastrouter._core")
    file = DIRECTORY / f"{os.getpid()}.new"
    file.write_text(json.dumps({"all": len(objects), "data plane": kinds.total(), "kinds": kinds}))
    file.rename(DIRECTORY / str(os.getpid()))


signal.signal(signal.SIGRTMIN, tell)
