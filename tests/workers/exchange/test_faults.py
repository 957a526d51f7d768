"""How faults are written, scripted and added up."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.workers.exchange.samples import run, until
from workers.exchange.faults import KINDS, Conditions, Fault, FaultError, Faults, Unit, faults_of
from workers.exchange.script import Entry, begin, load, play


def test_a_fault_has_a_name_a_value_and_perhaps_a_venue() -> None:
    assert Fault.parse("drop=0.01") == Fault("drop", 0.01)
    assert Fault.parse("kraken:latency=50ms") == Fault("latency", 0.05, "kraken")
    assert Fault.parse("clock-skew=-1.5s") == Fault("clock-skew", -1.5)
    assert Fault.parse("429=2m").value == 120
    assert Fault.parse("reset").once
    assert not Fault.parse("reset=0.5").once
    assert faults_of("drop=1, latency=1us") == [Fault("drop", 1), Fault("latency", 1e-6)]


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_can_be_written(name: str) -> None:
    value = "1s" if KINDS[name].unit is Unit.SECONDS else "0.5"
    assert Fault.parse(f"{name}={value}").name == name


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "fault was '', must be one of latency, jitter"),
        ("dropp=1", "fault was 'dropp', must be one of"),
        ("okx:drop=1", "venue of fault 'okx:drop=1' was 'okx', must be one of binance, kraken"),
        ("drop=1.01", "value of fault drop was '1.01', must be a share from 0 to 1"),
        ("drop=x", "value of fault drop was 'x', must be a share"),
        ("latency", "value of fault latency was missing, must be a time such as 50ms"),
        ("latency=50", "value of fault latency was '50', must be a time"),
        ("latency=-1s", "value of fault latency was '-1s', must be a time"),
        ("kraken:refuse", "fault refuse was for kraken, must be for all venues"),
    ],
)
def test_what_cannot_be_is_refused_by_name(text: str, message: str) -> None:
    with pytest.raises(FaultError, match=message):
        Fault.parse(text)


def test_faults_are_in_force_for_their_venue_until_they_end() -> None:
    faults = Faults()
    assert faults.of("binance") == Conditions()
    faults.begin(Fault.parse("drop=0.5"))
    faults.begin(Fault.parse("kraken:drop=0.1"))
    faults.begin(Fault.parse("coinbase:clock-skew=1s"))
    assert [faults.of(venue).drop for venue in ("binance", "kraken")] == [0.5, 0.1]
    assert faults.of("coinbase").clock_skew == 1
    assert not faults.spare("binance")
    assert faults.end("drop")
    assert not faults.end("drop")
    assert faults.spare("binance")
    assert faults.of("kraken").drop == 0.1
    faults.clear()
    assert faults.active() == []


def test_a_script_is_read_in_the_order_of_its_times(tmp_path: Path) -> None:
    path = tmp_path / "faults.toml"
    path.write_text(
        '[[faults]]\nat = 3.0\nfault = "black-hole"\nfor = 2.0\n'
        '[[faults]]\nfault = "drop=0.01,latency=5ms"\n'
    )
    assert load(path) == (
        Entry(0.0, (Fault("drop", 0.01), Fault("latency", 0.005)), None),
        Entry(3.0, (Fault("black-hole", 0.0),), 2.0),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", "was no TOML"),
        ("x = 1", r"had \['x'\], must have tables \[\[faults\]\] only"),
        ("faults = 1", "must have tables"),
        ("faults = [1]", "fault 1: entry was 1, must be a table"),
        ("[[faults]]", "fault 1: fault was None, must be a text such as 'drop=0.01'"),
        ('[[faults]]\nfault = "x"', "fault 1: fault was 'x', must be one of"),
        ('[[faults]]\nfault = "reset"\nat = -1', "fault 1: at was -1, must be seconds from 0"),
        ('[[faults]]\nfault = "reset"\nfor = true', "fault 1: for was True, must be seconds"),
        ('[[faults]]\nfault = "reset"\nlasts = 1', "unknown key 'lasts', must be one of at, fault"),
    ],
)
def test_a_wrong_script_is_refused_with_file_and_entry(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "faults.toml"
    path.write_text(text)
    with pytest.raises(FaultError, match=message) as caught:
        load(path)
    assert str(path) in str(caught.value)


def test_a_script_begins_and_ends_its_faults() -> None:
    async def test() -> None:
        faults = Faults()
        seen: list[tuple[str, bool]] = []
        faults.listeners.append(lambda fault, begins: seen.append((fault.name, begins)))
        entries = [
            Entry(0.0, (Fault.parse("drop=1"),), 0.01),
            Entry(0.02, (Fault.parse("reset"), Fault.parse("restart=10ms")), None),
        ]
        playing = asyncio.create_task(play(faults, entries))
        await until(lambda: len(seen) == 5)
        playing.cancel()
        assert seen == [
            ("drop", True),
            ("drop", False),
            ("reset", True),
            ("restart", True),
            ("restart", False),
        ]

    run(test())


def test_a_fault_that_was_replaced_does_not_end_with_the_first() -> None:
    async def test() -> None:
        faults = Faults()
        begin(faults, Entry(0, (Fault.parse("drop=1"),), 0.01))
        begin(faults, Entry(0, (Fault.parse("drop=0.5"),), None))
        begin(faults, Entry(0, (Fault.parse("jitter=1s"),), 0.01))
        begin(faults, Entry(0, (Fault.parse("jitter=1s"),), None))
        begin(faults, Entry(0, (Fault.parse("latency=1s"),), 0.02))
        await until(lambda: len(faults.active()) == 2)
        assert faults.active() == [Fault("drop", 0.5), Fault("jitter", 1.0)]

    run(test())
