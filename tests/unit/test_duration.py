import pytest

from fastrouter.config.duration import MAX_NANOSECONDS, Duration

SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("0", 0),
        ("-0", 0),
        ("+0", 0),
        ("0s", 0),
        ("60s", 60 * SECOND),
        ("1m0s", 60 * SECOND),
        ("100ms", SECOND // 10),
        ("1h", 3600 * SECOND),
        ("1.5s", 3 * SECOND // 2),
        (".5s", SECOND // 2),
        ("5.s", 5 * SECOND),
        ("-5s", -5 * SECOND),
        ("+5s", 5 * SECOND),
        ("1h2m3s4ms5us6ns", 3723_004_005_006),
        ("7µs", 7000),
        ("7μs", 7000),
        ("1s1s", 2 * SECOND),
        ("1s1h", 3601 * SECOND),
        ("1.9ns", 1),
        ("0.100000000000000000000h", 360 * SECOND),
        ("0.99999999999999999999999s", SECOND - 1),
        ("00000000000000000000000000001s", SECOND),
        ("9223372036854775807ns", MAX_NANOSECONDS),
        ("-9223372036854775808ns", -MAX_NANOSECONDS - 1),
        ("2562047h47m16.854775807s", MAX_NANOSECONDS),
    ],
)
def test_parse(text: str, nanoseconds: int) -> None:
    assert Duration.parse(text) == nanoseconds


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", 'time: invalid duration ""'),
        ("-", 'time: invalid duration "-"'),
        ("--5s", 'time: invalid duration "--5s"'),
        ("s", 'time: invalid duration "s"'),
        (".s", 'time: invalid duration ".s"'),
        (" 5s", 'time: invalid duration " 5s"'),
        ("٥s", 'time: invalid duration "٥s"'),
        ("5", 'time: missing unit in duration "5"'),
        ("5.", 'time: missing unit in duration "5."'),
        ("5s5", 'time: missing unit in duration "5s5"'),
        ("00", 'time: missing unit in duration "00"'),
        ("5d", 'time: unknown unit "d" in duration "5d"'),
        ("5S", 'time: unknown unit "S" in duration "5S"'),
        ("5 s", 'time: unknown unit " s" in duration "5 s"'),
        ("5s ", 'time: unknown unit "s " in duration "5s "'),
        ("1_0s", 'time: unknown unit "_" in duration "1_0s"'),
        ("1e3s", 'time: unknown unit "e" in duration "1e3s"'),
        ("9223372036854775808ns", 'time: invalid duration "9223372036854775808ns"'),
        ("-9223372036854775809ns", 'time: invalid duration "-9223372036854775809ns"'),
        (f"{'9' * 5000}s", f'time: invalid duration "{"9" * 5000}s"'),
        ("2562048h", 'time: invalid duration "2562048h"'),
    ],
)
def test_what_is_no_duration(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=r"^time: ") as raised:
        Duration.parse(text)
    assert str(raised.value) == reason


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0s"),
        (1, "1ns"),
        (1_100, "1.1µs"),
        (2_200_000, "2.2ms"),
        (3_300_000_000, "3.3s"),
        (60 * SECOND, "1m0s"),
        (61 * SECOND + 1, "1m1.000000001s"),
        (3600 * SECOND, "1h0m0s"),
        (-90 * SECOND, "-1m30s"),
        (10 * SECOND, "10s"),
        (MAX_NANOSECONDS, "2562047h47m16.854775807s"),
        (-MAX_NANOSECONDS - 1, "-2562047h47m16.854775808s"),
    ],
)
def test_text(nanoseconds: int, text: str) -> None:
    assert str(Duration(nanoseconds)) == text
    assert repr(Duration(nanoseconds)) == f"Duration.parse('{text}')"


def test_seconds() -> None:
    assert Duration.parse("1m0.5s").seconds == 60.5
    assert Duration.of(90) == 90 * SECOND
