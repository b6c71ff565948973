"""A sorted set of strings that can be walked in steps while it changes."""

from bisect import bisect_left, bisect_right, insort

# Keys in a run, beyond which it is split; inserting a key moves so many at most.
_MAX_RUN = 512


class SortedKeys:
    """Holds each key once. The state of a walk is the last key that it has seen."""

    def __init__(self) -> None:
        # Runs of keys, none of them empty, and the last key of each.
        self._runs: list[list[str]] = []
        self._lasts: list[str] = []

    def add(self, key: str) -> None:
        """Add a key that is not there."""
        if not self._runs:
            self._runs.append([key])
            self._lasts.append(key)
            return
        at = min(bisect_left(self._lasts, key), len(self._runs) - 1)
        run = self._runs[at]
        insort(run, key)
        self._lasts[at] = run[-1]
        if len(run) > _MAX_RUN:
            half = len(run) // 2
            self._runs[at : at + 1] = [run[:half], run[half:]]
            self._lasts[at : at + 1] = [run[half - 1], run[-1]]

    def remove(self, key: str) -> None:
        """Remove a key that is there."""
        at = bisect_left(self._lasts, key)
        run = self._runs[at]
        del run[bisect_left(run, key)]
        if run:
            self._lasts[at] = run[-1]
        else:
            del self._runs[at]
            del self._lasts[at]

    def page(self, after: str | None, count: int) -> list[str]:
        """Return some of the keys that follow `after` (None: of all), `count` at most; none only at the end."""
        if after is None:
            return self._runs[0][:count] if self._runs else []
        at = bisect_right(self._lasts, after)
        if at == len(self._runs):
            return []
        run = self._runs[at]
        start = bisect_right(run, after)
        return run[start : start + count]
