"""`bot4 breaker` on the segment of a run without its processes, which this test is in place of."""

from __future__ import annotations

import dataclasses
import getpass
import io
import json
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click.testing
import pytest
from click.testing import CliRunner
from rich.console import Console

from pipeline import topology
from pipeline.breakers import by_hand, figures
from pipeline.breakers.audit import FILE, AuditEntry, AuditTrail, read
from pipeline.breakers.by_hand import OPERATIONS
from pipeline.breakers.figures import BreakerFigures, GlobalFigures, explain, figures_of
from pipeline.breakers.settings import apply
from pipeline.cli import main
from pipeline.cli.breaker_view import BreakerTable
from pipeline.cli.run import configure
from pipeline.cli.view import StateTable, as_json, as_line
from pipeline.supervisor import Snapshot, snapshot
from pipeline.supervisor.start import encoded
from pipeline.vocabulary import Mode
from shm import Breaker, Breakers, Cause, EventKind, GlobalState, Segment, State
from shm.breaker_types import PARTICIPANTS
from shm.locks import Claim, role_byte
from tests.pipeline.supervisor.started import until

SECOND = 1_000_000_000
NAMES = ("feed.sim", "orders.sim", "ta", "ml", "risk", "storage")


class Run:
    """A run that commands find under its name, with a state directory of its own."""

    def __init__(self, segment: Segment, config: dict[str, Any]) -> None:
        self.segment = segment
        self.config = config
        self.group: Breakers = segment.breakers("breakers")
        apply(self.group, config)
        for name in self.group.names:
            self.group.breaker(name).initialise()

    @property
    def trail(self) -> Path:
        return Path(self.config["state_dir"]) / FILE

    def entries(self) -> list[AuditEntry]:
        return read(self.trail)[0]

    def breaker(self, name: str) -> Breaker:
        return self.group.breaker(name)

    def state(self, name: str) -> str:
        return self.breaker(name).state.name

    def calls(self, name: str, *outcomes: bool) -> None:
        breaker = self.breaker(name)
        for ok in outcomes:
            breaker.complete(breaker.acquire(), ok)

    def bot4(self, *arguments: str) -> click.testing.Result:
        """Run `bot4 breaker` with this run's name and state directory."""
        flags = ["--name", self.segment.name, "--set", f"state_dir={self.config['state_dir']}"]
        return CliRunner().invoke(main, ["breaker", *arguments, *flags])

    def look(self, name: str = "", now_ns: int | None = None) -> BreakerFigures:
        found = {each.name: each for each in figures_of(self.segment, self.config, now_ns).breakers}
        return found[name]


@pytest.fixture
def config(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.chdir(tmp_path)  # where no config.toml is
    for variable in [each for each in os.environ if each.startswith("BOT4_")]:
        monkeypatch.delenv(variable)
    settings = {
        "pipeline.market_capacity": "256",
        "pipeline.capacity": "256",
        "state_dir": str(tmp_path),
    }
    config = configure(None, name, settings)
    del config["notes"]
    return config


@pytest.fixture
def run(name: str, config: dict[str, Any]) -> Iterator[Run]:
    layout = topology.layout(config, config["affinity"])
    with Segment.create(name, layout, blobs={"config": encoded(config)}) as segment:
        yield Run(segment, config)


def shown(renderable: object, width: int = 130) -> str:
    screen = Console(file=io.StringIO(), record=True, width=width)
    screen.print(renderable)
    return screen.export_text()


# Showing.


def test_the_list_has_a_row_per_breaker_and_the_global_state_on_top(run: Run) -> None:
    run.calls("ml", *[True] * 8, False, False)
    run.calls("risk", False)
    health = run.segment.words("health")
    health.store("feed.sim.age_ms", 4_120_000_000)
    health.store("ta.queue_bp", 250)
    done = run.bot4("list")
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0] == f"{run.segment.name}, run {run.segment.run_id}"
    assert lines[1] == "global breaker: closed (6 of 6 breakers are enabled, none is open)"
    heads = "component state since failed in a row calls health"
    assert lines[2].split() == heads.split()
    rows = {line.split()[0]: line for line in lines[3:-1]}
    assert [each for each in rows if not each.startswith(("p99=", "queue="))] == [
        *("feed.sim*", "orders.sim*", "ta", "ml", "risk*", "storage"),
    ]
    assert re.match(r"ml +closed +\d\.\d s +20\.0/50% +2/5 +10 ", rows["ml"])
    # A single call is no rate.
    assert re.match(r"risk\* +closed +\d\.\d s +-/50% +1/5 +1 ", rows["risk*"])
    assert "age=4120/3000ms" in rows["feed.sim*"]
    assert "queue=2/90%" in done.stdout


def test_the_list_says_which_breakers_make_the_global_state(run: Run) -> None:
    run.calls("ta", *[False] * 5)
    assert run.bot4("list").stdout.splitlines()[1] == (
        "global breaker: degraded (ta is open; 1 of 6 in weight open = 16.7 %, limit 50.0 %)"
    )
    run.breaker("risk").force_open(actor="ann", reason="x")
    assert run.bot4("list").stdout.splitlines()[1] == (
        "global breaker: open (critical: risk is forced-open)"
    )


def test_the_list_as_json_has_every_figure_with_its_limit(run: Run) -> None:
    run.calls("ml", *[True] * 8, False, False)
    run.segment.words("health").store("ml.beat_ms", 250_000_000)
    document = json.loads(run.bot4("list", "--json").stdout)
    assert document["run_id"] == run.segment.run_id
    assert document["global"]["state"] == "closed"
    assert tuple(document["breakers"]) == NAMES
    ml = document["breakers"]["ml"]
    assert (ml["state"], ml["critical"], ml["generation"]) == ("closed", False, 1)
    window = ml["window"]
    assert (window["calls"], window["failure_bp"], window["failure_limit_bp"]) == (10, 2000, 5000)
    assert (window["consecutive"], window["consecutive_limit"]) == (2, 5)
    assert (window["slow_bp"], window["slow_limit_bp"]) == (0, None)
    assert ml["health"]["beat_ms"] == {
        "value": 250.0,
        "limit": run.config["breakers"]["ml"]["beat_ms"] or run.config["breakers"]["beat_ms"],
        "unit": "ms",
    }
    assert ml["settings"]["window_ns"] == 10 * SECOND
    assert document["breakers"]["ta"]["window"]["failure_bp"] is None


def test_events_that_found_no_place_are_counted_by_kind(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    none = dict.fromkeys((kind.name.lower() for kind in EventKind), 0)
    assert json.loads(run.bot4("list", "--json").stdout)["dropped"] == none
    assert "missing" not in run.bot4("list").stdout
    ml = run.breaker("ml")
    while not run.group.drops()[EventKind.TRANSITION]:
        ml.reset(actor="ann", reason="x")
    dropped = json.loads(run.bot4("list", "--json").stdout)["dropped"]
    assert dropped == none | {"transition": 1}
    said = "events of the breakers are missing: full rings dropped 1 of kind transition"
    assert said in run.bot4("list").stdout.splitlines()


def test_beyond_a_limit_stands_out_in_colour(run: Run) -> None:
    run.segment.words("health").store("feed.sim.age_ms", 4_120_000_000)
    screen = Console(file=io.StringIO(), force_terminal=True, width=130, color_system="standard")
    screen.print(BreakerTable("t", figures_of(run.segment, run.config)))
    text = screen.file.getvalue()  # type: ignore[attr-defined]
    assert "\x1b[1;31mage=4120/3000ms\x1b[0m" in text
    assert "\x1b[32mclosed\x1b[0m" in text


def test_a_narrow_terminal_has_what_is_nearest_to_its_limit(run: Run) -> None:
    health = run.segment.words("health")
    health.store("ta.beat_ms", 100_000_000)
    health.store("ta.queue_bp", 6000)
    found = figures_of(run.segment, run.config)
    lines = shown(BreakerTable("t", found), width=80).splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert [line.split()[-1] for line in lines if line.startswith("ta ")] == ["queue=60/90%"]
    assert len(lines) == 3 + len(NAMES) + 1


def test_slow_calls_have_a_column_if_there_is_a_rule_for_them(run: Run) -> None:
    found = figures_of(run.segment, run.config)
    assert " slow " not in shown(BreakerTable("t", found))
    first, *others = found.breakers
    settings = dataclasses.replace(first.settings, slow_bp=2500, slow_ns=SECOND)
    ruled = [dataclasses.replace(first, settings=settings), *others]
    text = shown(BreakerTable("t", dataclasses.replace(found, breakers=ruled)))
    assert " slow " in text
    assert " -/25% " in text
    assert "off" in text


def test_an_open_breaker_is_explained_with_its_figures_and_its_deadline(run: Run) -> None:
    run.calls("ta", *[True] * 3, *[False] * 5)
    breaker = run.breaker("ta")
    now_ns = breaker.deadline_ns - 17_700_000_000
    since = f"{(now_ns - breaker.since_ns) / SECOND:.1f}"
    assert explain(run.look("ta", now_ns)) == (
        f"open since {since} s: 5 consecutive failures, limit 5 (8 calls in the window, 5 failed "
        "= 62.5 %); probes again in 17.7 s"
    )
    assert "probes again with the next call" in explain(run.look("ta", breaker.deadline_ns))
    lines = dict(re.split(" {2,}", line, maxsplit=1) for line in _show(run, "ta").splitlines())
    assert lines["state"] == "open"
    assert lines["last transition"] == "closed -> open"
    assert lines["opens at"] == "5 failures in a row, 50.0 % of at least 10 calls failed"
    assert lines["all calls"].startswith("8 admitted, 0 rejected, 3 succeeded, 5 failed")


def _show(run: Run, name: str) -> str:
    done = run.bot4("show", name)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_rates_are_explained_with_their_limits(run: Run) -> None:
    run.calls("ta", *[True, False] * 5)
    assert ": 10 calls in the window, 5 failed = 50.0 %, limit 50.0 %; " in _show(run, "ta")
    settings = run.look("ml").settings
    run.breaker("ml").configure(
        dataclasses.replace(settings, slow_bp=5000, slow_ns=SECOND // 10, window="count")
    )
    for _ in range(10):
        run.breaker("ml").complete(run.breaker("ml").acquire(), True, duration_ns=SECOND)
    last = run.look("ml")
    slow = dataclasses.replace(settings, slow_bp=5000, slow_ns=SECOND // 10)
    assert ": 10 of 10 calls took longer than 100 ms = 100.0 %, limit 50.0 %; " in explain(
        dataclasses.replace(last, settings=slow)
    )


def test_a_half_open_breaker_tells_of_its_probes(run: Run) -> None:
    run.calls("ta", *[False] * 5)
    breaker = run.breaker("ta")
    later = breaker.deadline_ns
    permits = [breaker.acquire(later) for _ in range(3)]
    breaker.complete(permits[0], True, later)
    assert explain(run.look("ta", later)) == (
        "half-open since 0.0 s: the cooldown is over; 1 of 3 probes have succeeded, 0 failed "
        "(1 may), 2 in flight"
    )
    breaker.complete(permits[1], False, later)
    breaker.complete(permits[2], False, later)
    told = explain(run.look("ta", later))
    assert told.startswith("open since 0.0 s: more than 1 of the probes failed; probes again in ")
    assert told.endswith("; 1 episode of probes has failed since it was closed")


def test_what_was_done_by_hand_is_explained_by_who_and_why(run: Run) -> None:
    run.breaker("ta").disable(actor="ann", reason="[/b] replaced")
    assert ": disabled by ann: [/b] replaced (0 calls in the window, 0 failed)" in _show(run, "ta")


def test_causes_that_nobody_told_of_and_breakers_that_never_closed_are_said_to_be_so(
    run: Run, name: str
) -> None:
    lost = dataclasses.replace(run.look("ta"), last=None, since_ns=None)
    assert explain(lost) == "closed: whoever changed it was killed before it could say why"
    uninit = dataclasses.replace(lost, state=State.UNINIT)
    assert explain(uninit) == "uninit: it was never closed; bot4 breaker reset does so"


@pytest.mark.parametrize("cause", Cause)
def test_every_cause_has_an_explanation(run: Run, cause: Cause) -> None:
    one = run.look("ta")
    one.last["cause"] = cause
    assert explain(one)


def test_one_breaker_as_json_explains_itself(run: Run) -> None:
    run.calls("ta", *[False] * 5)
    done = json.loads(run.bot4("show", "ta", "--json").stdout)
    assert (done["breaker"], done["state"]) == ("ta", "open")
    assert "5 consecutive failures, limit 5" in done["why"]
    assert 0 < done["probes_again_in_s"] <= 36


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (None, "-"),
        (12_345_000_000, "12.3 s"),
        (119 * SECOND, "119.0 s"),
        (150 * SECOND, "2.5 min"),
        (9000 * SECOND, "2.5 h"),
        (1_000_000 * SECOND, "11.6 d"),
    ],
)
def test_times_are_in_the_unit_that_people_would_use(ns: int | None, text: str) -> None:
    assert figures.duration(ns) == text


def whole(run: Run, state: GlobalState, **changes: Any) -> GlobalFigures:
    return dataclasses.replace(figures_of(run.segment, run.config), state=state, **changes)


def test_why_the_global_breaker_is_as_it_is(run: Run) -> None:
    assert whole(run, GlobalState.OPEN, latch=True).why() == "the kill latch is set"
    run.breaker("ta").trip(actor="ann", reason="x")
    run.breaker("ml").trip(actor="ann", reason="x")
    run.breaker("storage").trip(actor="ann", reason="x")
    opened = "ta is open, ml is open, storage is open"
    assert whole(run, GlobalState.OPEN).why() == (
        f"3 of 6 in weight open = 50.0 %, limit 50.0 %: {opened}"
    )
    run.breaker("storage").disable(actor="ann", reason="x")
    # Beyond what it takes to close, it stays open.
    assert whole(run, GlobalState.OPEN).why() == (
        "2 of 5 in weight open = 40.0 %, closes at 35.0 %: ta is open, ml is open"
    )
    few = whole(run, GlobalState.DEGRADED, min_components=6)
    assert few.why() == (
        "ta is open, ml is open; 2 of 5 in weight open = 40.0 %, not judged with fewer than 6 "
        "enabled, limit 50.0 %"
    )


# Changing.


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.name)
def test_an_operation_changes_the_breaker_between_two_records(
    run: Run, operation: by_hand.Operation
) -> None:
    run.calls("ml", True, False)
    before = run.breaker("ml").generation
    done = run.bot4(operation.name, "ml", "--actor", "ann", "--reason", "maintenance")
    assert done.exit_code == 0, done.output
    to = operation.state.replace("_", "-")
    assert done.stdout.splitlines()[0] == f"ml: closed -> {to} (generation {before + 1})"
    assert run.state("ml").lower() == operation.state
    intent, result = run.entries()
    assert (intent.kind, result.kind) == ("intent", "done")
    assert (intent.generation, result.generation) == (before, before + 1)
    for entry in (intent, result):
        assert (entry.breaker, entry.before, entry.after) == ("ml", "closed", operation.state)
        assert (entry.actor, entry.reason) == ("ann", "maintenance")
        assert (entry.run_id, entry.cause) == (run.segment.run_id, operation.cause)
        assert entry.figures == {"calls": 2, "failures": 1, "slow": 0, "consecutive": 1}
    told = [event for event in run.group.events() if event["actor"]]
    assert [(bytes(each["actor"]), bytes(each["reason"])) for each in told] == [
        (b"ann", b"maintenance")
    ]


def test_the_actor_is_the_login_name_by_default(run: Run) -> None:
    run.bot4("trip", "ml", "--reason", "x")
    assert {entry.actor for entry in run.entries()} == {getpass.getuser()}


def test_a_change_of_the_global_state_is_said(run: Run) -> None:
    run.group.derive()
    assert run.bot4("force-open", "risk", "--reason", "x").stdout.splitlines() == [
        "risk: closed -> forced-open (generation 2)",
        "global breaker: closed -> open",
    ]


def test_what_changes_nothing_is_said_and_recorded(run: Run) -> None:
    run.breaker("ml").disable(actor="ann", reason="x")
    done = run.bot4("disable", "ml", "--reason", "x")
    assert (done.exit_code, done.stdout) == (0, "ml was disabled: nothing changed\n")
    assert [entry.kind for entry in run.entries()] == ["intent", "no-op"]


def test_what_is_not_allowed_is_refused_with_a_remedy_and_recorded(run: Run) -> None:
    run.breaker("ml").force_open(actor="ann", reason="x")
    done = run.bot4("trip", "ml", "--reason", "x")
    assert done.exit_code == 1
    assert done.stdout == ""
    assert done.stderr == (
        "bot4: breaker 'ml': trip is not possible while it is FORCED_OPEN; reset it first\n"
    )
    intent, result = run.entries()
    assert (intent.kind, intent.after) == ("intent", "open")
    assert (result.kind, result.before, result.after) == ("refused", "forced_open", "forced_open")


@pytest.mark.parametrize("command", [("show",), ("trip", "--reason", "x")])
def test_an_unknown_name_is_a_usage_error_with_the_names_there_are(
    run: Run, command: tuple[str, ...]
) -> None:
    done = run.bot4(*command, "feed.sin")
    assert done.exit_code == 2
    assert (
        "'BREAKER': was 'feed.sin', must be one of feed.sim, orders.sim, ta, ml, risk, storage; "
        "did you mean feed.sim?"
    ) in done.stderr
    assert "did you mean" not in run.bot4(*command, "xyzzy").stderr
    assert run.entries() == []


@pytest.mark.parametrize(
    "arguments", [(), ("--reason", " "), ("--reason", "x", "--actor", "")], ids=str
)
def test_who_and_why_must_be_given(run: Run, arguments: tuple[str, ...]) -> None:
    done = run.bot4("trip", "ml", *arguments)
    assert done.exit_code == 2
    assert "--reason" in done.stderr or "--actor" in done.stderr
    assert run.state("ml") == "CLOSED"


def test_bytes_that_are_no_text_do_not_end_in_a_traceback(run: Run) -> None:
    # As Python hands on what is not UTF-8 on a command line.
    done = run.bot4("trip", "ml", "--reason", "caf\udce9", "--actor", "j\udcf6rg")
    assert done.exit_code == 0, done.output
    assert run.state("ml") == "OPEN"
    assert {(entry.actor, entry.reason) for entry in run.entries()} == {("j?rg", "caf?")}


@pytest.mark.parametrize("command", ["reset", "disable", "metrics-only"])
def test_without_an_audit_trail_nothing_is_changed(run: Run, command: str) -> None:
    run.trail.mkdir()
    run.calls("ml", False)
    done = run.bot4(command, "ml", "--reason", "x")
    assert done.exit_code == 1
    assert done.stderr.startswith(
        f"bot4: nothing was changed: the audit trail {run.trail} cannot be written ("
    )
    assert (run.state("ml"), run.breaker("ml").generation) == ("CLOSED", 1)


@pytest.mark.parametrize(("command", "state"), [("trip", "OPEN"), ("force-open", "FORCED_OPEN")])
def test_what_makes_trading_more_careful_is_done_without_an_audit_trail_and_says_so(
    run: Run, command: str, state: str
) -> None:
    run.trail.mkdir()
    done = run.bot4(command, "ml", "--reason", "x")
    assert done.exit_code == 0
    assert run.state("ml") == state
    without, unsaid = done.stderr.splitlines()
    assert without.startswith(
        f"bot4: goes on without a record: the audit trail {run.trail} cannot be written ("
    )
    assert unsaid.startswith(f"bot4: done, but {run.trail} does not say so (")


def test_a_disk_that_hangs_does_not_hold_up_a_trip(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer, hanging = threading.Event(), threading.Semaphore(0)

    def hang(fd: int) -> None:
        hanging.release()
        answer.wait()

    monkeypatch.setattr(os, "fdatasync", hang)
    monkeypatch.setattr(by_hand, "_RECORD_S", 0.01)
    done = run.bot4("trip", "ml", "--reason", "x")
    assert hanging.acquire(timeout=30)
    answer.set()
    assert done.exit_code == 0
    assert run.state("ml") == "OPEN"
    assert done.stderr.count("no answer from the disk in 0.01 s") == 2
    until(
        lambda: all(thread.name != "audit" for thread in threading.enumerate()),
        "the end of the writes",
    )


def test_a_result_that_cannot_be_recorded_is_said(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = AuditTrail.append

    def only_intents(self: AuditTrail, entry: AuditEntry) -> None:
        if entry.kind != "intent":
            raise OSError(28, "No space left on device")
        append(self, entry)

    monkeypatch.setattr(AuditTrail, "append", only_intents)
    done = run.bot4("reset", "ml", "--reason", "x")
    assert done.exit_code == 0
    assert done.stdout == "ml: closed -> closed (generation 2)\n"
    assert done.stderr == (
        f"bot4: done, but {run.trail} does not say so (No space left on device)\n"
    )


# Reload and resume.


def test_a_reload_reaches_the_breakers_that_exist(run: Run) -> None:
    run.calls("ta", False)
    done = run.bot4("reload", "--set", "breakers.consecutive=3")
    assert done.exit_code == 0, done.output
    assert done.stdout == (
        f"{run.segment.name}, run {run.segment.run_id}: reloaded {len(NAMES)} breakers\n"
    )
    run.calls("ta", False)
    assert run.state("ta") == "CLOSED"
    run.calls("ta", False)
    assert run.state("ta") == "OPEN"
    intent, result = run.entries()
    assert (intent.kind, result.kind) == ("intent", "done")
    assert (result.breaker, result.cause, result.reason) == ("all", "reloaded", "reload")


def test_a_reload_during_another_one_is_to_be_repeated(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.breakers.settings._PAUSE_S", 0.0)
    region = run.segment.layout.regions["breakers"]
    fd = os.open(run.segment.path, os.O_RDWR)
    claim = Claim(fd, role_byte(region.index, PARTICIPANTS), 1, "the reload")
    try:
        done = run.bot4("reload", "--set", "breakers.consecutive=1")
    finally:
        claim.release()
        os.close(fd)
    assert done.exit_code == 1
    assert "another reload is under way; repeat" in done.stderr
    run.calls("ta", False)
    assert run.state("ta") == "CLOSED"
    assert [entry.kind for entry in run.entries()] == ["intent", "refused"]


def test_a_reload_says_what_it_does_not_reach(run: Run) -> None:
    done = run.bot4(
        "reload", "--set", "breakers.feed.age_ms=5000", "--set", "breakers.on_open=halt",
        "--set", "breakers.ml.weight=2",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "breakers.feed.age_ms, breakers.on_open: taken up by the next run" in done.stderr
    assert "weight" not in done.stderr
    settings = run.breaker("ml").settings
    assert settings is not None
    assert settings.weight == 2


def test_a_reload_of_something_invalid_is_refused_as_a_whole(run: Run) -> None:
    done = run.bot4(
        "reload", "--set", "breakers.consecutive=3", "--set", "breakers.storage.probes=0"
    )
    assert done.exit_code == 78
    assert "breakers.storage.probes was 0, must be" in done.stderr
    run.calls("ta", *[False] * 4)
    assert run.state("ta") == "CLOSED"
    assert run.entries() == []


def test_a_reload_without_an_audit_trail_is_refused(run: Run) -> None:
    run.trail.mkdir()
    done = run.bot4("reload", "--set", "breakers.consecutive=1")
    assert done.exit_code == 1
    run.calls("ta", False)
    assert run.state("ta") == "CLOSED"


def test_a_reload_for_other_components_is_refused(name: str, config: dict[str, Any]) -> None:
    config["instruments"][0]["venue"] = "elsewhere"
    layout = topology.layout(config, config["affinity"])
    with Segment.create(name, layout, blobs={"config": encoded(config)}) as segment:
        done = Run(segment, config).bot4("reload")
    assert done.exit_code == 78
    assert "the configuration's components were feed.sim, orders.sim, ta, ml" in done.stderr
    assert "must be those of the run, feed.elsewhere, feed.sim, orders.elsewhere" in done.stderr


def test_the_list_says_that_positions_are_being_closed(run: Run) -> None:
    told = "all positions are closed until bot4 resume"
    assert told not in run.bot4("list").stdout
    run.segment.words("run").store("mode", Mode.REDUCED)
    assert run.bot4("list").stdout.splitlines()[2].rstrip() == told
    assert json.loads(run.bot4("list", "--json").stdout)["global"]["flatten"] is True


# The audit trail.


def entry(kind: str, reason: str, **changes: Any) -> AuditEntry:
    fields: dict[str, Any] = {
        "time": "2026-05-28T20:26:40.123456Z",
        "monotonic_ns": 1,
        "run_id": "r",
        "kind": kind,
        "breaker": "ta",
        "before": "closed",
        "after": "open",
        "cause": "tripped",
        "actor": "ann",
        "reason": reason,
        "figures": {"calls": 3, "failures": 1, "slow": 0, "consecutive": 0},
        "generation": 2,
    }
    return AuditEntry(**{**fields, **changes})


def test_the_log_has_a_line_for_each_thing_that_happened(run: Run) -> None:
    trail = AuditTrail(run.trail)
    for each in (
        entry("transition", "", actor="", cause="consecutive", breaker="feed.sim", generation=4),
        entry("intent", "killed", generation=1),
        entry("intent", "[why]", generation=1),
        entry("transition", "[why]"),
        entry("done", "[why]"),
        entry("reloaded", "", actor="", before="open", after="open"),
        entry("refused", "no", after="closed", figures={"slow": 2, "consecutive": 4}),
        entry("lease_expired", "", actor="", after="closed", cause="none", figures={}),
    ):
        trail.append(each)
    done = run.bot4("log")
    assert (done.exit_code, done.stderr) == (0, "")
    time, called = "2026-05-28T20:26:40.123456Z", "1 of 3 calls failed"
    assert done.stdout.splitlines() == [
        f"{time}  feed.sim  closed -> open  consecutive  1 of 3 calls failed",
        f"{time}  ta        closed -> open  tripped (without a result)  {called}  ann: killed",
        f"{time}  ta        closed -> open  tripped  {called}  ann: [why]",
        f"{time}  ta        closed  tripped (refused)  2 slow, 4 in a row  ann: no",
        f"{time}  ta        closed  none (lease expired)",
    ]


def test_the_log_as_json_has_every_entry(run: Run) -> None:
    run.bot4("trip", "ml", "--reason", "a")
    run.bot4("reset", "ml", "--reason", "b")
    entries = json.loads(run.bot4("log", "--json").stdout)
    assert [(each["kind"], each["reason"]) for each in entries] == [
        *(("intent", "a"), ("done", "a"), ("intent", "b"), ("done", "b")),
    ]
    assert {"from", "to", "figures", "time"} <= entries[0].keys()
    assert json.loads(run.bot4("log", "--json", "--last", "1").stdout) == entries[-1:]


def test_a_torn_line_is_skipped_with_a_note(run: Run) -> None:
    run.bot4("trip", "ml", "--reason", "a")
    with run.trail.open("ab") as file:
        file.write(b'{"time"')
    done = run.bot4("log", "--json")
    assert len(json.loads(done.stdout)) == 2
    assert done.stderr == f"""bot4: {run.trail}:3: is torn, skipped: '{{"time"'\n"""


def test_the_log_is_there_when_nothing_runs(name: str, config: dict[str, Any]) -> None:
    folder = Path(config["state_dir"])
    flags = ["--name", name, "--set", f"state_dir={folder}"]
    done = CliRunner().invoke(main, ["breaker", "log", *flags])
    assert (done.exit_code, done.stdout) == (0, f"{folder / FILE}: no entries\n")
    AuditTrail(folder / FILE).append(entry("done", "x"))
    assert "ann: x" in CliRunner().invoke(main, ["breaker", "log", *flags]).stdout


@pytest.mark.parametrize(
    "command",
    [
        ("list",),
        ("show", "ta"),
        ("trip", "ta", "--reason", "x"),
        ("reload",),
    ],
    ids=lambda command: command[0],
)
def test_without_a_run_the_exit_code_is_that_of_not_running(
    name: str, config: dict[str, Any], command: tuple[str, ...]
) -> None:
    done = CliRunner().invoke(main, ["breaker", *command, "--name", name])
    assert done.exit_code == 3
    assert f"{name} is not running" in done.stderr


# What `run` and `status` show.


@pytest.fixture
def state(run: Run) -> Snapshot:
    stages = {each: topology.stage(each, run.config) for each in topology.STAGES}
    return snapshot(run.segment, run.config, stages)


def test_the_live_table_has_the_global_state_and_each_breaker_that_is_not_closed(
    run: Run, state: Snapshot
) -> None:
    assert "\nbreakers: closed\n" in shown(StateTable(state, None, "t", run.config))
    sick = dataclasses.replace(
        state,
        breakers={**state.breakers, "ta": "open", "ml": "half_open"},
        global_breaker="degraded",
    )
    table = StateTable(sick, None, "t", run.config)
    assert "\nbreakers: ta open, ml half-open, global degraded\n" in shown(table)
    screen = Console(file=io.StringIO(), force_terminal=True, width=130, color_system="standard")
    screen.print(table)
    text = screen.file.getvalue()  # type: ignore[attr-defined]
    assert "\x1b[33mdegraded\x1b[0m" in text
    assert "\x1b[1;31mopen\x1b[0m" in text


def test_a_line_mentions_breakers_only_if_one_is_not_closed(run: Run, state: Snapshot) -> None:
    assert "breakers" not in as_line(state, None, 1.0, run.config)
    off = dataclasses.replace(state, breakers={**state.breakers, "ta": "disabled"})
    assert as_line(off, None, 1.0, run.config).endswith(", breakers: ta disabled")
    both = {**state.breakers, "feed.sim": "forced_open", "risk": "disabled"}
    worse = dataclasses.replace(state, breakers=both, global_breaker="open")
    assert as_line(worse, None, 1.0, run.config).endswith(
        ", breakers: feed.sim forced-open, risk disabled, global open"
    )
    halted = dataclasses.replace(state, global_breaker="open")
    assert as_line(halted, None, 1.0, run.config).endswith(", breakers: global open")


def test_states_have_underscores_in_json_only(run: Run) -> None:
    run.breaker("ta").force_open(actor="ann", reason="x")
    assert json.loads(run.bot4("list", "--json").stdout)["breakers"]["ta"]["state"] == "forced_open"
    assert "forced_open" not in run.bot4("list").stdout + run.bot4("show", "ta").stdout
    assert "forced-open" in run.bot4("list").stdout


def test_json_of_a_run_has_its_breakers(run: Run, state: Snapshot) -> None:
    data = as_json(state, run.config)
    assert data["global_breaker"] == "closed"
    assert data["breakers"] == dict.fromkeys(NAMES, "closed")
    status = CliRunner().invoke(main, ["status", "--json", "--name", run.segment.name])
    assert json.loads(status.stdout)["breakers"] == data["breakers"]
