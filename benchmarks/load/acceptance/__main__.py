"""The acceptance measurements, each against its bar; exits with 1 if one fails.

    python -m benchmarks.load.acceptance [--proxy fastrouter] all|SUBJECT …
    python -m benchmarks.load.acceptance [--seconds N] [--only PATTERNS] fairness

The proxy runs with one worker on core 0; clients and backends share core 1 (fairness and registration have places of
their own). A peer in place of fastrouter shows that the harness itself is sound, and how others do.
"""

import argparse
import sys
import tempfile
from dataclasses import asdict
from functools import partial
from pathlib import Path

from benchmarks.load import results
from benchmarks.load.acceptance import (
    failover,
    fairness,
    hoards,
    idle,
    late_bodies,
    load,
    pipeline,
    race,
    registration,
    registrations,
    restart,
    routing_api,
    slow,
    stale,
    streaming,
)
from benchmarks.load.acceptance.subject import Check, Subject
from benchmarks.load.processes import prepare_driver
from benchmarks.load.proxies import PROXIES

_SUBJECTS: dict[str, Subject] = {
    "streaming": streaming.run,
    "load": load.run,
    "idle": idle.run,
    "slow": slow.run,
    "pipeline": pipeline.run,
    "failover": failover.run,
    "restart": restart.run,
    "stale": stale.run,
    "race": race.run,
    "hoards": hoards.run,
    "late-bodies": late_bodies.run,
    "registration": registration.run,
    "registrations": registrations.run,
    "routing-api": routing_api.run,
    "fairness": fairness.run,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--proxy", choices=PROXIES, default="fastrouter")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of one flood of fairness")
    parser.add_argument("--only", default="*", metavar="PATTERNS", help="floods of fairness, such as '*chunk*,tiny-*'")
    parser.add_argument("subjects", nargs="+", choices=["all", *_SUBJECTS], metavar="subject")
    options = parser.parse_args()
    prepare_driver()
    facts = results.facts() | {"proxy": options.proxy, "version": PROXIES[options.proxy].version()}
    checks: dict[str, list[Check]] = {}
    for name in _SUBJECTS if "all" in options.subjects else options.subjects:
        print(f"{name}: {sys.modules[_SUBJECTS[name].__module__].__doc__}", flush=True)
        subject = _SUBJECTS[name]
        if name == "fairness":
            subject = partial(fairness.run, seconds=options.seconds, only=options.only)
        checks[name] = _measure(name, subject, options.proxy)
        print(*checks[name], sep="\n", end="\n\n", flush=True)
    figures = {"checks": {name: [asdict(check) for check in found] for name, found in checks.items()}}
    print(f"written to {results.write('acceptance', facts, figures)}")
    return 0 if all(check.passed for found in checks.values() for check in found) else 1


def _measure(name: str, subject: Subject, proxy: str) -> list[Check]:
    with tempfile.TemporaryDirectory(prefix=f"fastrouter-{name}-") as workdir:
        try:
            return subject(proxy, Path(workdir))
        except (OSError, RuntimeError) as error:
            # One subject that cannot be measured must not keep the others from it.
            return [Check(name, f"not measured: {error!r}", "a measurement", False)]


if __name__ == "__main__":
    sys.exit(main())
