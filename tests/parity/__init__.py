"""Our router beside the real Gorouter; see `compare.py`."""

import sys
from pathlib import Path

# `integration` is found the way pytest finds it for the tests.
sys.path.insert(0, str(Path(__file__).parents[1]))
