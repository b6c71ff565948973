"""The manual page, made from the commands themselves: `fastrouter man | man -l -`."""

from collections.abc import Iterator

import click

from fastrouter import __version__
from fastrouter.cli.gorouter_command import USAGE
from fastrouter.cli.whole_help import summary_of

_EXIT_CODES = {
    "0": "after a stop by a signal, and of a command that has done what it is for",
    "1": "something keeps the router from running, or the command from doing what it is for; the reason is on "
    "stderr or, of a router, in the process log",
    "2": "an unknown flag; also of a router with an unknown log level or a wrong entry of "
    "route_services_hairpinning_allowlist, as of Gorouter",
    "3": "a command that asks a router finds none, or several",
    "4": "the answer of the router is no: it is not healthy, there is no such route, it would answer a request "
    "by itself, it has not drained in time",
}
_SIGNALS = {
    "SIGTERM, SIGINT": "stop at once",
    "SIGUSR1": "drain, then stop",
    "SIGUSR2": "be replaced by a new process of the installed version; see fastrouter upgrade",
    "SIGHUP": "read certificates and static routes again, and reopen an access log that was renamed",
}


def page(cli: click.Group, program: str) -> str:
    """Return the manual page of a program with these commands, in the language of man(7)."""
    lines = [
        f'.TH {program.upper()} 1 "" "{program} {__version__}"',
        ".SH NAME",
        f"{program} \\- {_text(summary_of(cli))}",
        ".SH SYNOPSIS",
        f".B {program}",
        r"\-c FILE [\-routes FILE] [\-workers NUMBER] [\-strict]",
        ".br",
        f".B {program}",
        "COMMAND [OPTIONS] [ARGUMENTS]",
        ".SH DESCRIPTION",
        f"Without a command, {program} is started as Gorouter is:",
        *_verbatim(USAGE),
        ".SH COMMANDS",
    ]
    for command, context in commands_of(cli, program):
        lines += _command(command, context)
    lines += [".SH EXIT STATUS", *_definitions(_EXIT_CODES), ".SH SIGNALS", *_definitions(_SIGNALS)]
    return "\n".join([*lines, ""])


def commands_of(cli: click.Group, program: str) -> Iterator[tuple[click.Command, click.Context]]:
    """Yield all commands of a program, those of groups within included."""
    yield from _commands(cli, click.Context(cli, info_name=program))


def _commands(group: click.Group, context: click.Context) -> Iterator[tuple[click.Command, click.Context]]:
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None, "it is listed"
        inner = click.Context(command, info_name=name, parent=context)
        if isinstance(command, click.Group):
            yield from _commands(command, inner)
        else:
            yield command, inner


def _command(command: click.Command, context: click.Context) -> Iterator[str]:
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    yield f".SS {_text(usage)}"
    for paragraph in (command.help or "").split("\n\n"):
        yield ".PP"
        yield _text(" ".join(paragraph.split()))
    records = [parameter.get_help_record(context) for parameter in command.get_params(context)]
    yield from _definitions(dict(record for record in records if record is not None))


def _definitions(meanings: dict[str, str]) -> Iterator[str]:
    for term, meaning in meanings.items():
        yield ".TP"
        yield f".B {_text(term)}"
        yield _text(" ".join(meaning.split()))


def _verbatim(text: str) -> list[str]:
    return [".PP", ".nf", *map(_text, text.splitlines()), ".fi"]


def _text(text: str) -> str:
    """Return `text` so that it means nothing to roff; a dash stays one that can be copied."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{text}" if text[:1] in (".", "'") else text
