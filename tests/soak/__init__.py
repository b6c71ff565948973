"""Random traffic for as long as one likes; see desync.py."""

import sys
from pathlib import Path

# `integration` is found the way pytest finds it for the tests.
sys.path.insert(0, str(Path(__file__).parents[1]))
