"""Compare our router with the real Gorouter.

    python -m tests.parity.compare --gorouter PATH [--only PATTERN] [--jobs NUMBER] [--verbose]

PATH is an executable of Gorouter (that of April 2025, built with Go 1.23 and zap/exp 0.3), which this project neither
has nor builds. Both routers get the same gorouter.yml (but for ports), receive the same registrations on one NATS bus,
and stand in front of the same raw backends. Each case (`corpus.py`, `configurations.py`) is done with one after the
other; then what the client got, what the backend saw, the lines of the access log and those of the process log, and
what was added to metrics (`counts.py`) and what a Loggregator agent was told (`envelopes.py`) are compared, without
what no two runs share (`normal_form.py`). Backends show certificates of all kinds (`certificates.py`). Last, each is
started and ended in all ways, and what it says from first to last is compared, and with which code it ends
(`lifecycle.py`). `allowed.py` has the differences that are known and meant. The exit code is 1 if there is any other,
and, when all cases were done, if an entry of that table allows nothing.

The cases are done in parts, several side by side (`--jobs`), each part with a pair of routers of its own. Most of the
time is waiting, so there may be more jobs than processors. All cases take seven minutes with five jobs.

This is a tool and no part of the test suite: what it has shown gets a test there.
"""

import argparse
import functools
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import chain
from pathlib import Path

from fastrouter.process.parent_death import end_with_parent

from . import pages
from .allowed import BY_CHANCE, ENTRIES, Entry, explain
from .case import Case
from .configurations import Configuration, all_configurations
from .lifecycle import LIVES, live
from .normal_form import Compared, NormalForm, differences, outcome
from .pair import APP, PROCESS, Pair

PATIENCES = (1.0, 3.0, 10.0)
"""A case is reported if it differs with each of these, because differences of time alone do not repeat."""

PART = 150
"""How many cases are done with one pair of routers. Logs are read from the start again and again, so not too many."""


class Report:
    """Counts and prints."""

    def __init__(self, *, is_verbose: bool) -> None:
        self._is_verbose = is_verbose
        self.counts: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.used: set[Entry] = set()

    def add(self, compared: Compared) -> None:
        entries, unexplained = explain(compared)
        reasons = {entry.reason for entry in entries}
        self.used |= entries
        self.reasons.update(reasons)
        self.counts["different" if unexplained else "allowed" if reasons else "equal"] += 1
        if unexplained:
            lines = [f"    {aspect:8}{side} {line}" for aspect, side, line in unexplained]
            print(f"{compared.name}\n    {' => '.join(compared.outcomes)}\n" + "\n".join(lines), flush=True)
        elif self._is_verbose:
            print(f"{compared.name}: {', '.join(sorted(reasons)) or 'equal'}", flush=True)

    def summary(self) -> str:
        lines = [f"{sum(self.counts.values())} cases: " + ", ".join(f"{n} {what}" for what, n in self.counts.items())]
        lines += [f"{number:6} {reason}" for reason, number in self.reasons.most_common()]
        return "\n".join(lines)


def compare_case(pair: Pair, form: NormalForm, name: str, case: Case, *, registers_again: bool = False) -> Compared:
    """What differs, in the last of as many attempts as it takes to find only what is allowed."""
    for patience in PATIENCES:
        if registers_again:
            pair.register()
        gorouter = form.of(pair.run(case, "gorouter", patience=patience))
        ours = form.of(pair.run(case, "ours", patience=patience))
        compared = Compared(name, differences(gorouter, ours), (outcome(gorouter), outcome(ours)))
        if not explain(compared)[1]:
            break
    return compared


def parts(configurations: Iterable[Configuration], only: re.Pattern[str]) -> Iterator[Configuration]:
    """The configurations with those of their cases that match, and at most PART of them at a time."""
    for configuration in configurations:
        cases = [case for case in configuration.cases if only.search(f"{configuration.name}: {case.name}")]
        pages = [page for page in configuration.pages if only.search(f"{configuration.name}: {page}")]
        starts = range(0, len(cases), PART)
        for start in starts:
            last = start == starts[-1]
            yield replace(configuration, cases=cases[start : start + PART], pages=pages if last else ())
        if pages and not cases:
            yield replace(configuration, cases=(), pages=pages)


def compare(gorouter: Path, configuration: Configuration) -> list[Compared]:
    """All cases of one configuration.

    A router that ends or falls silent is told as the difference of the case in which that was noticed; the cases behind
    it are not done.
    """
    results = []
    with Pair(
        gorouter,
        configuration.keys,
        configuration.registrations,
        configuration.backends,
        configuration.environment,
    ) as pair:
        form = NormalForm(pair.port_names, APP + PROCESS)
        try:
            for case in configuration.cases:
                name = f"{configuration.name}: {case.name}"
                results.append(compare_case(pair, form, name, case, registers_again=configuration.registers_again))
            for page in configuration.pages:
                name = f"{configuration.name}: {page}"
                results.append(Compared(name, pages.CHECKS[page](pair)))
        except (AssertionError, OSError) as error:
            results.append(Compared(name, [("run", "±", f"{type(error).__name__}: {error}")]))
    return results


def main() -> int:
    """Run the comparison as the command line says."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--gorouter", type=Path, required=True, help="an executable of Gorouter")
    parser.add_argument("--only", default="", help="a pattern for '<configuration>: <case>'")
    parser.add_argument("--jobs", type=int, default=2, help="how many pairs of routers run side by side")
    parser.add_argument("--verbose", action="store_true", help="name cases without a difference, too")
    options = parser.parse_args()
    report = Report(is_verbose=options.verbose)
    with (
        tempfile.TemporaryDirectory(prefix="parity-") as directory,
        # When this process is killed, so are they, and with them the routers and servers that they have started.
        ProcessPoolExecutor(options.jobs, initializer=end_with_parent) as executor,
    ):
        configurations = all_configurations(Path(directory))
        only = re.compile(options.only)
        lives = [life for life in LIVES if only.search(f"life: {life.name}")]
        of_pairs = executor.map(functools.partial(compare, options.gorouter), parts(configurations, only))
        of_lives = executor.map(functools.partial(live, options.gorouter), lives)
        for compared in chain(chain.from_iterable(of_pairs), of_lives):
            report.add(compared)
    print(report.summary())
    unused = [] if options.only else [entry for entry in ENTRIES if entry not in report.used | {BY_CHANCE}]
    for entry in unused:
        print(f"allowed.py allows what does not occur: {entry}")
    return 1 if report.counts["different"] or unused else 0


if __name__ == "__main__":
    sys.exit(main())
