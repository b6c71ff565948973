"""Input that a fuzzer finds; see run.py and docs/adr/0025-fuzzing-by-libfuzzer-over-gcc.md."""

import sys
from pathlib import Path

# `protocol` and `integration` are found the way pytest finds them for the tests.
sys.path.insert(0, str(Path(__file__).parents[1]))
