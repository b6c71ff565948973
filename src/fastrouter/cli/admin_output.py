"""What the commands that ask a router have in common: which router, and how answers are printed.

Output is for people and pipes alike: no colours, and no column is ever cut. With `--json` it is what the API has said:
one object on a line for each item of a list or stream.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from functools import wraps
from typing import Any, TypeVar

import click

from fastrouter.net.admin_socket import AdminSocketError, find_socket

# Exit codes beside 0 and 2 (an unknown flag).
REFUSED = 1
NO_ROUTER = 3
ANSWER_IS_NO = 4

Command = TypeVar("Command", bound=Callable[..., Any])

# Rows whose widths are taken for the columns: of a long list the first ones are printed before the last are there.
_ROWS_AT_ONCE = 1000


class CommandError(click.ClickException):
    """A command that has not done what it is for; `code` says why (docs/operations.md)."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


def asks_router(command: Command) -> Command:
    """Give a command its router: `client`, `is_json`, and options that say which router; errors end it as they must."""

    @click.option(
        "--pid", type=click.IntRange(min=1), metavar="NUMBER", help="The router, where several run: its process id."
    )
    @click.option(
        "--socket",
        "path",
        metavar="PATH",
        envvar="FASTROUTER_SOCKET",
        help="The router's admin socket.  [default: found by itself; env: FASTROUTER_SOCKET]",
    )
    @click.option("--json", "is_json", is_flag=True, help="Print JSON: of a list, each item on a line.")
    @wraps(command)
    def asking(*, pid: int | None, path: str | None, **arguments: Any) -> None:
        from fastrouter.cli.admin_client import AdminClient, AdminError  # noqa: PLC0415 30 ms that `run` has not to wait

        try:
            client = AdminClient(path or find_socket(pid))
            command(client=client, **arguments)
        except AdminSocketError as error:
            raise CommandError(str(error), NO_ROUTER) from error
        except AdminError as error:
            raise CommandError(str(error), error.code) from error
        except KeyboardInterrupt:
            raise click.Abort from None

    return asking  # type: ignore[return-value]  # with other arguments, which click gives


def print_json(item: Any) -> None:
    """Print one object on a line."""
    click.echo(json.dumps(item, ensure_ascii=False))


def print_table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows below their headings; the columns are as wide as need be."""
    for line in table_lines(headings, rows):
        click.echo(line)


def print_facts(facts: Iterable[tuple[str, object]]) -> None:
    """Print a name and a value on each line."""
    lines, _ = _aligned([(name, str(value)) for name, value in facts], [0, 0])
    for line in lines:
        click.echo(line)


def table_lines(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    """Yield the lines of a table."""
    waiting: list[Sequence[str]] = [headings]
    widths = [0] * len(headings)
    for row in rows:
        waiting.append([str(cell) for cell in row])
        if len(waiting) >= _ROWS_AT_ONCE:
            lines, widths = _aligned(waiting, widths)
            yield from lines
            waiting = []
    yield from _aligned(waiting, widths)[0]


def _aligned(rows: Sequence[Sequence[str]], widths: list[int]) -> tuple[list[str], list[int]]:
    if rows:
        widths = [max(width, *map(len, column)) for width, column in zip(widths, zip(*rows, strict=True), strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return lines, widths


def time_text(seconds: float) -> str:
    """Return a Unix time as RFC 3339 has it, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def span_text(seconds: float) -> str:
    """Return a span in its two greatest units: `1d 2h`, `3m 4s`, `0.5s`."""
    if seconds < 60:
        return f"{seconds:.1f}s"
    parts: list[str] = []
    left = int(seconds)
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count or parts:
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2])
