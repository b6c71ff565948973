"""Makes `python -m fastrouter.worker NAME CHANNEL` a worker."""

import sys

from fastrouter.worker.process import main

if __name__ == "__main__":
    main(sys.argv[1:])
