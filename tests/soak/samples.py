"""What a router holds while it is at work: memory, descriptors and objects, sampled, judged and drawn."""

import json
import os
import signal
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from integration.processes import children_of, command_of

# For each quantity, by how much the last quarter of a run may be above the third: a fraction, and so much besides.
ALLOWED = {"RSS, MB": (0.03, 2.0), "descriptors": (0.1, 16.0), "objects of the data plane": (0.1, 64.0)}

_WIDTH, _HEIGHT, _MARGIN = 720, 150, 44
_PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 2**20


class Sample(NamedTuple):
    """One moment; values in the order of ALLOWED, summed over all processes of the router."""

    at: float
    values: tuple[float, ...]


class Sampler:
    """Looks at the processes of a router that was started with tests/soak/watched on its path."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._begun = time.monotonic()
        self.samples: list[Sample] = []
        # Of the data plane, by class, at the last sample.
        self.kinds: dict[str, int] = {}

    def take(self, pid: int) -> None:
        """Sample the router whose control process this is. Processes that end meanwhile are left out."""
        workers = [child for child in children_of(pid) if "fastrouter.worker" in command_of(child)]
        for worker in workers:
            (self._directory / str(worker)).unlink(missing_ok=True)
            try:
                os.kill(worker, signal.SIGRTMIN)
            except ProcessLookupError:
                continue
        time.sleep(0.5)
        told = [self._told_by(worker) for worker in workers]
        if not told or None in told:
            # A worker that has just begun, or ends, says nothing yet, or no more.
            return
        self.kinds = {}
        for one in told:
            assert one is not None
            for kind, count in one["kinds"].items():
                self.kinds[kind] = self.kinds.get(kind, 0) + count
        processes = [pid, *children_of(pid)]
        values = (
            sum(rss_of(process) for process in processes),
            float(sum(descriptors_of(process) for process in processes)),
            float(sum(self.kinds.values())),
        )
        self.samples.append(Sample(time.monotonic() - self._begun, values))

    def _told_by(self, worker: int) -> dict[str, dict[str, int]] | None:
        try:
            told: dict[str, dict[str, int]] = json.loads((self._directory / str(worker)).read_text())
        except FileNotFoundError:
            return None
        return told


def rss_of(pid: int) -> float:
    """Megabytes that a process has in memory; 0 once it has ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_MB
    except (FileNotFoundError, ProcessLookupError):
        return 0.0


def descriptors_of(pid: int) -> int:
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return 0


def growth(samples: Sequence[Sample], end: float) -> dict[str, tuple[float, float, bool]]:
    """Quantity -> its medians in the third and the last quarter of a run of `end` seconds, and whether it is flat."""
    grown = {}
    for index, (name, (fraction, more)) in enumerate(ALLOWED.items()):
        quarters = [
            [sample.values[index] for sample in samples if start * end <= sample.at < (start + 0.25) * end]
            for start in (0.5, 0.75)
        ]
        third, last = (statistics.median(values) if values else 0.0 for values in quarters)
        grown[name] = (third, last, all(quarters) and last <= third * (1 + fraction) + more)
    return grown


def chart(samples: Sequence[Sample], events: Sequence[tuple[float, str]], title: str) -> str:
    """An SVG with one strip for each quantity over time; `events` are marked (seconds, name)."""
    end = max((sample.at for sample in samples), default=1.0)
    parts = [f'<text x="{_MARGIN}" y="16" font-weight="bold">{title}</text>']

    def x(at: float) -> float:
        return _MARGIN + at / end * (_WIDTH - 2 * _MARGIN)

    for index, name in enumerate(ALLOWED):
        top = 30 + index * _HEIGHT
        base = top + _HEIGHT - 30
        peak = max((sample.values[index] for sample in samples), default=0.0) * 1.1 or 1.0
        points = " ".join(
            f"{x(sample.at):.1f},{base - sample.values[index] / peak * (_HEIGHT - 50):.1f}" for sample in samples
        )
        parts.append(f'<text x="{_MARGIN}" y="{top + 12}">{name}</text>')
        parts.append(f'<text x="{_MARGIN - 4}" y="{top + 24}" text-anchor="end">{peak:.0f}</text>')
        parts.append(f'<text x="{_MARGIN - 4}" y="{base}" text-anchor="end">0</text>')
        parts.append(f'<line x1="{_MARGIN}" y1="{base}" x2="{_WIDTH - _MARGIN}" y2="{base}" stroke="#888"/>')
        for at, kind in events:
            colour = {"upgrade": "#c60", "worker killed": "#c00"}.get(kind, "#ccc")
            parts.append(f'<line x1="{x(at):.1f}" y1="{top + 16}" x2="{x(at):.1f}" y2="{base}" stroke="{colour}"/>')
        parts.append(f'<polyline points="{points}" fill="none" stroke="#036" stroke-width="1.5"/>')
    height = 40 + len(ALLOWED) * _HEIGHT
    legend = f"0 to {end / 60:.1f} min; orange: upgrades, red: a worker killed, grey: other faults and reloads"
    parts.append(f'<text x="{_MARGIN}" y="{height - 14}">{legend}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" font-family="sans-serif" '
        f'font-size="11"><rect width="100%" height="100%" fill="#fff"/>{"".join(parts)}</svg>\n'
    )
