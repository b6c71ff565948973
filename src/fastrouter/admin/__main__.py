"""Makes `python -m fastrouter.admin NAME CHANNEL` the admin process."""

import sys

from fastrouter.admin.process import main

if __name__ == "__main__":
    main(sys.argv[1:])
