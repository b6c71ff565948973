"""What a result file says besides its figures, and where it goes."""

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

DIRECTORY = Path(__file__).parents[1] / "results"


def facts() -> dict[str, Any]:
    """Machine, date and revision: without them a figure means nothing."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "revision": _git("rev-parse", "--short", "HEAD"),
        "uncommitted_changes": bool(_git("status", "--porcelain", "--", "src")),
        "cpu": _first_value(Path("/proc/cpuinfo"), "model name"),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_average_before": os.getloadavg()[0],
    }


def write(kind: str, facts: dict[str, Any], figures: dict[str, Any]) -> Path:
    DIRECTORY.mkdir(exist_ok=True)
    stamp = facts["date"].partition("+")[0].replace(":", "").replace("-", "")
    path = DIRECTORY / f"{kind}-{stamp}-{facts['revision']}.json"
    path.write_text(json.dumps({"facts": facts, **figures}, indent=2) + "\n")
    return path


def _git(*arguments: str) -> str:
    run = subprocess.run(["git", *arguments], cwd=DIRECTORY.parent, check=False, capture_output=True, text=True)
    return run.stdout.strip() if run.returncode == 0 else ""


def _first_value(path: Path, key: str) -> str:
    for line in path.read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return ""
