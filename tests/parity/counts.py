"""What a case adds to the metrics that both routers have: counters, and observations of histograms."""

import re
from collections.abc import Mapping

_TYPE = re.compile(r"# TYPE (\S+) (\S+)")
_SAMPLE = re.compile(r"([a-z_]+)(\{.*\})? (\S+)$")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_OWN = re.compile(r"go_|process_|promhttp_|fastrouter_|routes_(un)?registered$")
"""Families that only one of them has, or that are about the process and not about requests."""


def counts(exposition: str) -> dict[str, float]:
    """The values of counters, and counts and sums of histograms, by name and labels."""
    found: dict[str, float] = {}
    names: frozenset[str] = frozenset()
    for line in exposition.splitlines():
        if declared := _TYPE.match(line):
            family, kind = declared.groups()
            of_kind = {"counter": {family}, "histogram": {f"{family}_count", f"{family}_sum"}}
            names = frozenset() if _OWN.match(family) else frozenset(of_kind.get(kind, ()))
        elif (sample := _SAMPLE.match(line)) and sample[1] in names:
            labels = ", ".join(f'{name}="{value}"' for name, value in sorted(_LABEL.findall(sample[2] or "")))
            found[f"{sample[1]}{{{labels}}}"] = float(sample[3])
    return found


def added(before: Mapping[str, float], after: Mapping[str, float]) -> list[str]:
    """What has grown, and by how much; of sums, which are times, only that they have."""
    grown = {key: value - before.get(key, 0.0) for key, value in after.items()}
    return [f"{key} {'more' if '_sum{' in key else f'{more:+g}'}" for key, more in sorted(grown.items()) if more]
