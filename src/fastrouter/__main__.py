"""Makes `python -m fastrouter` the same as the console script `fastrouter`."""

from fastrouter.cli import main

if __name__ == "__main__":
    main()
