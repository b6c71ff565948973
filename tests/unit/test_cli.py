"""The command line up to the point where a router would start; tests/integration/test_process.py goes on from there."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any, NoReturn, get_args

import pytest

from fastrouter import __version__, cli
from fastrouter._core import Settings
from fastrouter.cli import commands
from fastrouter.cli.gorouter_command import USAGE
from fastrouter.cli.manual import commands_of
from fastrouter.cli.request_commands import VERDICTS
from fastrouter.control import app
from fastrouter.control.options import RouterOptions, usable_cpus
from fastrouter.ipc.inspection import Verdict
from fastrouter.logs.logger import Logger
from fastrouter.net.address import Address
from fastrouter.process import signals
from fastrouter.registry.static_routes import StaticEndpoint, StaticRoute

ASKING = ("explain", "requests", "tail", "top")
LISTEN = ("run", "--listen", "127.0.0.1:0")

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command line; returns exit code, stdout and stderr."""

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as exit_:
            cli.main(arguments)
        captured = capsys.readouterr()
        code = exit_.value.code
        assert isinstance(code, int) or code is None
        # Log lines are not part of what is captured: they go to the descriptor.
        return code or 0, captured.out, captured.err

    return run


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[RouterOptions]:
    """Keep routers from starting, and collect what they were to do."""
    options: list[RouterOptions] = []

    def record(given: RouterOptions, _logger: Logger) -> bool:
        options.append(given)
        return True

    def leave(is_healthy: bool) -> NoReturn:
        sys.exit(0 if is_healthy else 1)

    monkeypatch.setattr(app, "run", record)
    monkeypatch.setattr(app, "leave", leave)
    # The signals of this process are pytest's.
    monkeypatch.setattr(signals, "hold", lambda: None)
    return options


def test_defaults(run: Run, started: list[RouterOptions]) -> None:
    assert run(*LISTEN) == (0, "", "")
    (options,) = started
    assert options.listen == Address("127.0.0.1", 0)
    assert options.routes == []
    assert options.workers == usable_cpus()
    assert options.access_log.file is None
    assert options.access_log.line == {"logs_refused": True}
    assert options.settings == {"backend_keep_alive": True, "keeps_sticky_metadata": True}
    assert options.registry == {"is_current": True}


def test_every_option_arrives(run: Run, started: list[RouterOptions], tmp_path: Path) -> None:
    routes = tmp_path / "routes.yml"
    routes.write_text("routes: [{route: file.test, endpoints: [{address: '127.0.0.1:3'}]}]")
    code, _, err = run(
        *("run", "--listen", "[::1]:8080", "--workers", "3", "--access-log", "access.log"),
        "--disable-log-refused-requests",
        *("--route", "a.test=127.0.0.1:1,127.0.0.1:2", "--route", "a.test/b=127.0.0.1:2", "--routes", str(routes)),
        *("--max-attempts", "1", "--dial-timeout", "0.5", "--endpoint-timeout", "60", "--frontend-idle-timeout", "61"),
        *("--read-header-timeout", "62", "--backend-idle-timeout", "63", "--disable-backend-keep-alive"),
        *("--max-idle-per-endpoint", "7", "--max-request-head", "4096", "--max-request-headers", "8"),
        *("--max-response-head", "8192", "--max-response-headers", "9"),
    )
    assert (code, err) == (0, "")
    (options,) = started
    assert options.listen == Address("::1", 8080)
    assert options.workers == 3
    assert options.access_log.file == "access.log"
    assert options.access_log.line == {"logs_refused": False}
    first, second, third = (StaticEndpoint(f"127.0.0.1:{port}") for port in (1, 2, 3))
    assert options.routes == [StaticRoute("a.test", (first, second)), StaticRoute("a.test/b", (second,))]
    assert options.routes_file == str(routes)
    assert options.file_routes == (StaticRoute("file.test", (third,)),)
    assert options.drain_timeout == 60.0
    assert options.settings == {
        "max_attempts": 1,
        "dial_timeout": 0.5,
        "endpoint_timeout": 60.0,
        "frontend_idle_timeout": 61.0,
        "read_header_timeout": 62.0,
        "backend_idle_timeout": 63.0,
        "backend_keep_alive": False,
        "keeps_sticky_metadata": True,
        "max_idle_per_endpoint": 7,
        "max_request_head": 4096,
        "max_request_headers": 8,
        "max_response_head": 8192,
        "max_response_headers": 9,
    }


@pytest.mark.parametrize("option", commands.SETTINGS)
def test_the_help_states_the_data_planes_own_default(option: str) -> None:
    stated = re.search(r"\[default: ([0-9.]+)\]$", commands.SETTINGS[option][2])
    assert stated is not None
    default: Any = getattr(Settings(), option.replace("-", "_"))
    assert float(stated[1]) == default


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run",), "Missing option '--listen'."),
        (("run", "--listen", "x"), "Invalid value for '--listen': 'x' has no port: expected HOST:PORT"),
        (
            (*LISTEN, "--route", "a.test"),
            "Invalid value for '--route': 'a.test' has no '=': expected HOST[/PATH]=ADDRESS[,ADDRESS...]",
        ),
        (
            (*LISTEN, "--route", "a.test=b:1", "--route", "a.test=b"),
            "Invalid value for '--route': 'b' has no port: expected HOST:PORT",
        ),
        (
            (*LISTEN, "--routes", "/nowhere/routes.yml"),
            "Invalid value for '--routes': open /nowhere/routes.yml: no such file or directory",
        ),
        ((*LISTEN, "--workers", "0"), "Invalid value for '--workers': 0 is not in the range x>=1."),
        (
            (*LISTEN, "--max-attempts", "0"),
            "Invalid value for '--max-attempts': 0 is not in the range 1<=x<=2147483647.",
        ),
        ((*LISTEN, "--dial-timeout", "soon"), "Invalid value for '--dial-timeout': 'soon' is not a valid float range."),
        ((*LISTEN, "--dial-timeout"), "Option '--dial-timeout' requires an argument."),
        (
            (*LISTEN, "--log-level", "loud"),
            "Invalid value for '--log-level': 'loud' is not one of 'debug', 'info', 'warn', 'error'.",
        ),
        ((*LISTEN, "stray"), "Got unexpected extra argument (stray)"),
        (("walk",), "No such command 'walk'."),
        (("demo", "--listen", "8080"), "Invalid value for '--listen': '8080' has no port: expected HOST:PORT"),
    ],
)
def test_bad_values_exit_with_1_and_name_option_and_rule(
    run: Run, started: list[RouterOptions], arguments: tuple[str, ...], message: str
) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (1, "")
    assert err.splitlines()[-1] == f"Error: {message}"
    assert started == []


def test_a_bad_routes_file_is_named_with_its_key(run: Run, started: list[RouterOptions], tmp_path: Path) -> None:
    path = tmp_path / "routes.yml"
    path.write_text("routes: [{route: a.test, endpoints: []}]")
    code, _, err = run(*LISTEN, "--routes", str(path))
    assert code == 1
    assert err.splitlines()[-1] == (
        f"Error: Invalid value for '--routes': {path}: routes[0].endpoints: Expected `array` of length >= 1"
    )
    assert started == []


def test_a_value_that_only_the_data_plane_refuses_names_the_option_too(
    run: Run, started: list[RouterOptions], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> Settings:
        raise ValueError("max_attempts must be at most 255, not 256")

    monkeypatch.setattr("fastrouter._core.Settings", refuse)
    code, _, err = run(*LISTEN, "--max-attempts", "256")
    assert code == 1
    assert err.splitlines()[-1] == "Error: Invalid value for '--max-attempts': must be at most 255, not 256"
    assert started == []


@pytest.mark.parametrize("option", commands.SETTINGS)
@pytest.mark.parametrize("value", ["-1", "nan", "inf", "1e400", "2147483648", "x", ""])
def test_no_number_gets_past_the_command_line_into_a_traceback(
    run: Run, started: list[RouterOptions], option: str, value: str
) -> None:
    code, _, err = run(*LISTEN, f"--{option}", value)
    assert code == 1
    assert err.splitlines()[-1].startswith(f"Error: Invalid value for '--{option}': ")
    assert started == []


def test_an_unknown_flag_exits_with_2(run: Run) -> None:
    code, out, err = run("run", "--bogus")
    assert (code, out) == (2, "")
    assert "No such option" in err
    assert "--bogus" in err


@pytest.mark.parametrize("arguments", [("--help",), ("run", "-h"), ("demo", "--help")])
def test_help_exits_with_0(run: Run, arguments: tuple[str, ...]) -> None:
    code, out, err = run(*arguments)
    assert code == 0
    assert out.startswith("Usage: fastrouter")
    assert err == ""


def test_no_line_of_the_help_is_cut(run: Run) -> None:
    """However narrow the terminal is: a pipe counts as 80 columns."""
    for arguments in ((), ("config",)):
        _, out, _ = run(*arguments, "--help")
        assert "..." not in out.replace("[ARGS]...", "")


def test_the_manual_has_every_command_and_option(run: Run) -> None:
    code, page, err = run("man")
    assert (code, err) == (0, "")
    text = page.replace("\\-", "-")
    named = (*ASKING, "run", "check", "config show", "man", "upgrade")
    assert all(f"\n.SS fastrouter {name}" in text for name in named)
    for command, context in commands_of(commands.cli, commands.PROGRAM):
        for parameter in command.get_params(context):
            assert all(option in text for option in parameter.opts if option.startswith("-"))
    assert USAGE.replace("\\", "\\e") in text


@pytest.mark.skipif(shutil.which("groff") is None, reason="needs groff")
def test_groff_finds_nothing_wrong_with_the_manual(run: Run) -> None:
    _, page, _ = run("man")
    rendered = subprocess.run(
        ["groff", "-man", "-Tutf8", "-ww", "-k"], input=page, capture_output=True, text=True, check=True
    )
    assert rendered.stderr == ""
    # A bold letter is written twice, over itself.
    assert "--max-response-headers NUMBER" in re.sub(".\x08", "", rendered.stdout)


def test_the_short_version(run: Run) -> None:
    assert run("--version") == (0, f"fastrouter {__version__}\n", "")


def test_every_verdict_has_words() -> None:
    assert set(VERDICTS) == set(get_args(Verdict))


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_asks_the_program_itself(run: Run, shell: str) -> None:
    code, out, err = run("completion", shell)
    assert (code, err) == (0, "")
    assert "_FASTROUTER_COMPLETE" in out


def test_completion_knows_the_commands(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_FASTROUTER_COMPLETE", "bash_complete")
    for word in ASKING:
        monkeypatch.setenv("COMP_WORDS", f"fastrouter {word[:-1]}")
        monkeypatch.setenv("COMP_CWORD", "1")
        assert f"plain,{word}" in run()[1].splitlines()


def test_completion_needs_a_shell_that_it_knows(run: Run) -> None:
    code, _, err = run("completion", "tcsh")
    assert code == 1
    assert "'bash', 'fish', 'zsh'" in err


@pytest.mark.parametrize("given", ["--tls-cert", "--tls-key"])
def test_a_certificate_and_its_key_belong_together(run: Run, started: list[RouterOptions], given: str) -> None:
    code, _, err = run(*LISTEN, given, "/nowhere/file.pem")
    assert (code, started) == (1, [])
    assert "--tls-cert and --tls-key belong together" in err


def test_a_certificate_that_cannot_be_read_is_named(run: Run, started: list[RouterOptions]) -> None:
    code, _, err = run(*LISTEN, "--tls-cert", "/nowhere/a.pem", "--tls-key", "/nowhere/b.pem")
    assert (code, started) == (1, [])
    assert "Invalid value for '--tls-cert': open /nowhere/a.pem: no such file or directory" in err


def test_version(run: Run) -> None:
    code, out, _ = run("version")
    assert code == 0
    versions = dict(line.split()[:2] for line in out.splitlines())
    assert list(versions) == ["fastrouter", "Python", "uvloop", "httptools", "llhttp", "Cython"]
    assert versions["fastrouter"] == __version__
    assert versions["uvloop"] == version_of("uvloop")
    assert versions["httptools"] == version_of("httptools")


def test_version_does_not_guess_the_llhttp_of_another_httptools(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "LLHTTP_OF_HTTPTOOLS", {})
    _, out, _ = run("version")
    assert f"llhttp     unknown (part of httptools {version_of('httptools')}, which does not tell)" in out.splitlines()
