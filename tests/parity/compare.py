"""Compare our router with the real Gorouter.

    python -m tests.parity.compare --gorouter PATH [--only PATTERN] [--verbose]

PATH is an executable of Gorouter (that of April 2025), which this project neither has nor builds. Both routers get the
same gorouter.yml (but for ports), hear the same registrations on one NATS bus, and stand in front of the same raw
backends. Each case (`corpus.py`, `configurations.py`) is done with one after the other; then what the client got, what
the backend saw, the lines of the access log and those of the process log are compared, without what no two runs share
(`normal_form.py`). `allowed.py` has the differences that are known and meant. The exit code is 1 if there is any other.

This is a tool and no part of the test suite: what it has shown gets a test there.
"""

import argparse
import re
import sys
from collections import Counter
from pathlib import Path

from . import pages
from .allowed import reason_for
from .case import Case
from .configurations import Configuration, all_configurations
from .normal_form import NormalForm, differences
from .pair import APP, PROCESS, Pair

ATTEMPTS = 2
"""How often a case must differ to be told: what depends on time alone does not differ each time."""


class Report:
    """Counts and prints."""

    def __init__(self, *, is_verbose: bool) -> None:
        self._is_verbose = is_verbose
        self.counts: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()

    def add(self, name: str, found: list[tuple[str, str, str]]) -> None:
        """One case with the lines that differ, allowed or not."""
        unexplained = []
        reasons = set()
        for aspect, side, line in found:
            reason = reason_for(name, aspect, side, line)
            if reason is None:
                unexplained.append(f"    {aspect:8}{side} {line}")
            else:
                reasons.add(reason)
        self.reasons.update(reasons)
        self.counts["different" if unexplained else "allowed" if reasons else "equal"] += 1
        if unexplained:
            print(f"{name}\n" + "\n".join(unexplained), flush=True)
        elif self._is_verbose:
            print(f"{name}: {', '.join(sorted(reasons)) or 'equal'}", flush=True)

    def summary(self) -> str:
        lines = [f"{sum(self.counts.values())} cases: " + ", ".join(f"{n} {what}" for what, n in self.counts.items())]
        lines += [f"{number:6} {reason}" for reason, number in self.reasons.most_common()]
        return "\n".join(lines)


def is_explained(name: str, found: list[tuple[str, str, str]]) -> bool:
    return all(reason_for(name, *difference) for difference in found)


def compare_case(pair: Pair, form: NormalForm, name: str, case: Case) -> list[tuple[str, str, str]]:
    """The lines that differ, of the last of as many attempts as it takes to find only such as are allowed."""
    for attempt in range(ATTEMPTS):
        gorouter = pair.run(case, "gorouter", patience=10.0**attempt)
        ours = pair.run(case, "ours", patience=10.0**attempt)
        found = differences(form.of(gorouter), form.of(ours))
        if is_explained(name, found):
            break
    return found


def compare(gorouter: Path, configuration: Configuration, only: re.Pattern[str], report: Report) -> None:
    """All cases of one configuration whose names match."""
    cases = [case for case in configuration.cases if only.search(f"{configuration.name}: {case.name}")]
    checks = [check for check in configuration.pages if only.search(f"{configuration.name}: {check}")]
    if not cases and not checks:
        return
    with Pair(gorouter, configuration.keys, configuration.registrations) as pair:
        form = NormalForm(pair.port_names, APP + PROCESS)
        for case in cases:
            name = f"{configuration.name}: {case.name}"
            report.add(name, compare_case(pair, form, name, case))
        for check in checks:
            report.add(f"{configuration.name}: {check}", pages.CHECKS[check](pair))


def main() -> int:
    """Run the comparison as the command line says."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--gorouter", type=Path, required=True, help="an executable of Gorouter")
    parser.add_argument("--only", default="", help="a pattern for '<configuration>: <case>'")
    parser.add_argument("--verbose", action="store_true", help="name cases without a difference, too")
    options = parser.parse_args()
    report = Report(is_verbose=options.verbose)
    for configuration in all_configurations():
        compare(options.gorouter, configuration, re.compile(options.only), report)
    print(report.summary())
    return 1 if report.counts["different"] else 0


if __name__ == "__main__":
    sys.exit(main())
