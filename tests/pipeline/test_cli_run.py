"""`bot4 run` and the commands that speak to a run, started as a user starts them."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from click.testing import CliRunner

from pipeline import topology
from pipeline.affinity import PROCESSES
from pipeline.cli import run as cli
from pipeline.kill.positions import committed
from pipeline.kill.words import halt
from pipeline.vocabulary import CHECKS
from shm import Segment, list_segments
from tests.pipeline.supervisor.started import (
    BOT4,
    PATIENCE_S,
    SETTINGS,
    Started,
    bot4,
    environment,
    until,
)

LATENCY = {"p50_us", "p99_us"}
NUMBER = int | float


def is_latency(value: object) -> bool:
    return value is None or (isinstance(value, NUMBER) and value > 0)


def descendants(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def placed(errors: str) -> dict[str, list[int]]:
    """Return the CPUs that a run said it would use."""
    line = next(line for line in errors.splitlines() if line.startswith("CPUs: "))
    return {
        process: [int(cpu) for cpu in cpus.split(",")]
        for process, cpus in re.findall(r"(\w+) ([\d,]*\d)", line.removeprefix("CPUs: "))
    }


def test_a_run_over_some_events_prints_one_object_with_every_figure(
    name: str, tmp_path: Path
) -> None:
    with Started(name, tmp_path, "--events", "3000", exchange__rate="10000") as run:
        figures, errors = run.end()
    assert figures.keys() == {
        *("run_id", "seconds", "exit_reason", "stages", "tick_to_order", "orders", "fills"),
        *("denied", "queues", "currency", "pnl", "equity", "memory_mb", "model", "books"),
        *("breakers", "global_breaker", "feed", "bars", "breaker_nearest", "mode", "account"),
    }
    account = figures["account"]
    assert account["denied"].keys() <= {code.name for code in CHECKS}
    assert sum(account["denied"].values()) == figures["denied"]
    money = {name: Decimal(account[name]) for name in ("cash", "realised", "unrealised", "fees")}
    assert money["realised"] + money["unrealised"] - money["fees"] == Decimal(figures["pnl"])
    assert 0 <= account["drawdown_bp"] <= account["max_drawdown_bp"]
    assert Decimal(account["results"]["day"]["result"]) == Decimal(figures["pnl"])
    assert (account["results"]["day"]["loss_limit"], figures["mode"]) == (None, "normal")
    assert figures["exit_reason"] == "events"
    assert set(figures["breakers"].values()) == {"closed"}
    assert figures["global_breaker"] == "closed"
    assert re.fullmatch(r"[0-9a-f-]+", figures["run_id"])
    assert 0 < figures["seconds"] < PATIENCE_S
    assert list(figures["stages"]) == list(topology.PIPELINE)
    for stage in figures["stages"].values():
        assert stage.keys() == {*("pid", "cpu", "restarts", "records_in", "records_out"), *LATENCY}
        assert all(isinstance(stage[key], int) for key in stage.keys() - LATENCY - {"cpu"})
        assert isinstance(stage["cpu"], int | list)
        assert is_latency(stage["p50_us"]) and is_latency(stage["p99_us"])
    assert figures["stages"]["feed"]["records_out"] == 3000
    assert figures["stages"]["ta"]["records_in"] == 3000
    latency = figures["tick_to_order"]
    assert latency.keys() == {"count", "p999_us", *LATENCY}
    assert latency["count"] == figures["orders"] > 0
    assert 0 < latency["p50_us"] <= latency["p99_us"] <= latency["p999_us"]
    assert isinstance(figures["fills"], int) and isinstance(figures["denied"], int)
    assert figures["currency"] == "USDT"
    assert Decimal(figures["equity"]) - Decimal(figures["pnl"]) == Decimal(100_000_000)
    assert 50 < figures["memory_mb"] < 2000
    for queue in figures["queues"].values():
        assert queue.keys() == {"depth", "high_water", *LATENCY}
        assert queue["depth"] == 0
    assert placed(errors).keys() == set(PROCESSES) - {topology.MODEL}
    for pid in (stage["pid"] for stage in figures["stages"].values()):
        assert not psutil.pid_exists(pid)


def test_a_run_with_a_duration_ends_by_it_with_a_table(name: str, tmp_path: Path) -> None:
    done = bot4(
        *("run", "--duration", "0.8", "--name", name, "--set", f"state_dir={tmp_path}"),
        *("--set", "exchange.rate=1000", "--seed", "5"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert re.search(r"^run \S+: \d+\.\d s, ended by duration *$", done.stdout, re.MULTILINE)
    for stage in topology.PIPELINE:
        assert re.search(rf"^{stage} +\d+ ", done.stdout, re.MULTILINE)
    assert "orders, " in done.stdout
    assert re.search(r"^memory \d+ MB", done.stdout, re.MULTILINE)
    assert "\x1b" not in done.stdout


def test_without_a_terminal_a_line_is_printed_every_few_seconds(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cli, "_LINE_S", 0.2)
    before = os.sched_getaffinity(0)
    try:
        done = CliRunner().invoke(
            cli.command,
            [
                *("--duration", "1.2", "--name", name, "--set", f"state_dir={tmp_path}"),
                *("--set", "pipeline.market_capacity=1024"),
            ],
        )
    finally:
        os.sched_setaffinity(0, before)
    assert done.exit_code == 0, done.output
    lines = re.findall(r"^ +\d\.\d s  ([\d,]+) records", done.output, re.MULTILINE)
    assert len(lines) >= 2


class Terminal:
    """A `bot4 run` on a terminal of its own."""

    def __init__(self, arguments: list[str], cwd: Path, columns: int = 120) -> None:
        self.fd, other = pty.openpty()
        fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        env = {key: value for key, value in environment().items() if key != "COLUMNS"}
        self.process = subprocess.Popen(
            [BOT4, "run", *arguments],
            stdin=other,
            stdout=other,
            stderr=other,
            cwd=cwd,
            env={**env, "TERM": "xterm-256color"},
            start_new_session=True,
            # Ctrl-C goes to whoever has it as controlling terminal.
            preexec_fn=lambda: fcntl.ioctl(other, termios.TIOCSCTTY, 0),
        )
        os.close(other)
        self.seen = ""

    def read_until(self, pattern: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not re.search(pattern, self.seen, re.MULTILINE):
            assert time.monotonic() < deadline, self.seen
            self._read(deadline)

    def _read(self, deadline: float) -> bool:
        if not select.select([self.fd], [], [], max(0.0, deadline - time.monotonic()))[0]:
            return False
        try:
            data = os.read(self.fd, 65536)
        except OSError:  # the other side is closed
            return False
        self.seen += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", data.decode(errors="replace"))
        return bool(data)

    def type(self, keys: bytes) -> None:
        os.write(self.fd, keys)

    def end(self) -> int:
        """Read what is left, and return the exit code."""
        deadline = time.monotonic() + PATIENCE_S
        while self._read(deadline):
            pass
        return self.process.wait(PATIENCE_S)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.fd)


@pytest.fixture
def terminal(name: str, tmp_path: Path) -> Iterator[Terminal]:
    flags = ["--name", name, "--set", f"state_dir={tmp_path}"]
    for key, value in SETTINGS.items():
        flags += ["--set", f"{key}={value}"]
    terminal = Terminal(flags, tmp_path)
    yield terminal
    terminal.close()


def test_a_terminal_shows_a_live_table_and_control_c_ends_it_in_order(
    terminal: Terminal, name: str
) -> None:
    # In the table by and by: all stages, with rates, and orders at its foot.
    terminal.read_until(r"^feed +\d+ +[\d,]+ +0 +\d[\d,]* +\d")
    for stage in topology.PIPELINE:
        terminal.read_until(rf"^{stage} +\d+ ")
    terminal.read_until(r"tick to order p50 [\d,.]+, p99 [\d,.]+, p99.9 [\d,.]+ us over")
    assert f"bot4 {name}: " in terminal.seen
    assert "…" not in terminal.seen
    terminal.type(b"\x03")
    assert terminal.end() == 0
    assert "ended by signal" in terminal.seen
    assert re.search(r"memory \d+ MB", terminal.seen)
    assert list_segments(name) == []


def test_a_second_control_c_ends_it_at_once(name: str, tmp_path: Path) -> None:
    (tmp_path / "stuck.py").write_text(
        "import numpy as np\n"
        "class Stuck:\n"
        "    STATE = np.dtype([('rows', '<i8')])\n"
        "    def on_features(self, row, state):\n"
        "        while True: pass\n"
    )
    with Started(
        name,
        tmp_path,
        environ={"PYTHONPATH": str(tmp_path)},
        ml__strategy="stuck:Stuck",
        supervisor__drain_s="60",
        supervisor__heartbeat_s="60",
    ) as run:
        run.flows(1, ring="features")
        workers = descendants(run.process.pid)
        assert len(workers) == len(topology.PROCESSES)
        run.process.send_signal(signal.SIGINT)
        until(lambda: "feed" not in names(run.process.pid), "a drain")
        run.process.send_signal(signal.SIGINT)
        figures, _ = run.end(1)
    assert figures["exit_reason"] == "failed: killed by a second signal"
    assert not any(worker.is_running() for worker in workers)


def names(pid: int) -> set[str]:
    """Return which processes of a run there are."""
    found = set()
    for child in descendants(pid):
        try:
            found.add(child.name().removeprefix("bot4:"))
        except psutil.NoSuchProcess:
            continue
    return found


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_drains_and_ends_it(name: str, tmp_path: Path, number: int) -> None:
    with Started(name, tmp_path) as run:
        run.flows(20, ring="orders")
        run.process.send_signal(number)
        figures, errors = run.end()
    assert figures["exit_reason"] == "signal"
    assert figures["stages"]["feed"]["records_out"] == figures["stages"]["ta"]["records_in"]
    assert all(queue["depth"] == 0 for queue in figures["queues"].values())
    assert "Traceback" not in errors


def test_processes_run_where_the_run_says(name: str, tmp_path: Path) -> None:
    with Started(name, tmp_path) as run:
        run.flows(1)
        workers = {process: run.pid(process) for process in topology.PROCESSES}
        actual = {process: os.sched_getaffinity(pid) for process, pid in workers.items()}
        actual["supervisor"] = os.sched_getaffinity(run.process.pid)
        assert {Path(f"/proc/{pid}/comm").read_text() for pid in workers.values()} == {
            f"bot4:{process}\n" for process in workers
        }
        run.process.send_signal(signal.SIGTERM)
        figures, errors = run.end()
    assert {process: sorted(cpus) for process, cpus in actual.items()} == placed(errors)
    for process, stage in figures["stages"].items():
        assert stage["pid"] == workers[process]
        assert stage["cpu"] in (next(iter(actual[process])), sorted(actual[process]))


def test_a_running_deployment_is_shown_refused_twice_and_stopped(name: str, tmp_path: Path) -> None:
    with Started(name, tmp_path) as run:
        run.flows(20, ring="orders")

        done = bot4("status", "--json", *run.flags, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        figures: dict[str, Any] = json.loads(done.stdout)
        assert figures["run_id"] == run.segment.run_id
        assert figures["halted"] is None
        assert figures["stages"]["ta"]["pid"] == run.pid("ta")
        assert figures["orders"] >= 20

        done = bot4("status", *run.flags, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert f"{name}, run {figures['run_id']}" in done.stdout
        assert re.search(r"^risk +\d+ ", done.stdout, re.MULTILINE)

        done = bot4("run", "--duration", "1", *run.flags, cwd=tmp_path)
        assert done.returncode == 1
        assert "run.lock is held by a running supervisor; stop it (bot4 stop), or" in done.stderr

        elsewhere = tmp_path / "elsewhere"
        done = bot4("run", *run.flags, "--set", f"state_dir={elsewhere}", cwd=tmp_path)
        assert done.returncode == 1
        assert f"is in use by pid {run.process.pid}; stop that run (bot4 stop)" in done.stderr

        done = bot4("stop", *run.flags, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (0, f"stopped {name}, run {figures['run_id']}\n")
        final, _ = run.end()
    assert final["exit_reason"] == "signal"
    assert all(queue["depth"] == 0 for queue in final["queues"].values())


def test_stop_says_so_if_the_end_takes_too_long(name: str, tmp_path: Path) -> None:
    with Started(name, tmp_path) as run:
        run.flows(1)
        run.process.send_signal(signal.SIGSTOP)
        done = bot4("stop", "--timeout", "0.1", *run.flags, cwd=tmp_path)
        assert done.returncode == 1
        assert "has not ended within 0.1 s; it is still draining, or kill it: bot4 kill" in (
            done.stderr
        )
        run.process.send_signal(signal.SIGCONT)
        figures, _ = run.end()
    assert figures["exit_reason"] == "signal"


def test_after_a_kill_no_order_is_sent_and_the_run_ends_as_halted(
    name: str, tmp_path: Path
) -> None:
    reason = "prices [look] wrong [/b]"
    with Started(name, tmp_path, kill__flatten="false") as run:
        run.flows(20, ring="orders")
        # Else it would end the run before anybody could look at what is halted.
        run.process.send_signal(signal.SIGSTOP)
        done = bot4("kill", "--reason", reason, *run.flags, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        killed, *held, latched = done.stdout.splitlines()
        assert killed == f"killed {name}, run {run.segment.run_id}: {reason}"
        assert all(line.startswith("still held: ") for line in held)
        assert latched == "latched: no run begins until bot4 resume --reason TEXT"
        halted_ns = time.monotonic_ns()

        def denied() -> int:
            return int(committed(run.segment, "risk", "account")["denied"][0])

        before = denied()
        orders = run.published("orders")
        run.flows(100)  # the market goes on, and so do the intents
        until(lambda: denied() > before + 5, "denials")
        assert run.published("orders") == orders
        last = run.segment.ring_follower("orders")
        record = topology.edge("orders").dtype
        stamps = [int(each) for each in _copied(last, record, orders)["stamped_ns"]]
        assert max(stamps) < halted_ns
        last.close()

        done = bot4("status", *run.flags, cwd=tmp_path)
        assert done.returncode == 4
        assert f"halted: {reason} (by " in done.stdout
        done = bot4("status", "--json", *run.flags, cwd=tmp_path)
        assert done.returncode == 4
        assert json.loads(done.stdout)["halted"]["reason"] == reason

        done = bot4("kill", "--reason", "another", *run.flags, cwd=tmp_path)
        assert done.returncode == 0
        assert f"was killed: {reason} (by " in done.stdout
        run.process.send_signal(signal.SIGCONT)
        figures, errors = run.end(4)
    assert figures["exit_reason"] == f"halted: {reason}"
    assert f"halted: {reason} (by " in errors
    assert figures["orders"] == orders


def _copied(follower: Any, dtype: Any, count: int) -> Any:
    records = np.zeros(min(count, 500), dtype)
    follower.seek(count - len(records))
    copied, lost = follower.read(records)
    assert (copied, lost) == (len(records), 0)
    return records


def test_brackets_in_a_reason_are_no_markup_on_a_terminal(
    terminal: Terminal, name: str, tmp_path: Path
) -> None:
    terminal.read_until(r"^executor +\d+ +\d+ +\d+ +[\d,]*[1-9]")
    # By the word: bot4 kill would end by force what is slow.
    [info] = list_segments(name)
    with Segment.attach(name, run_id=info.run_id) as segment:
        assert halt(segment, "[/b][red]", "anna")
    assert terminal.end() == 4
    assert "halted: [/b][red] (by " in terminal.seen
    assert "ended by halted: [/b][red]" in terminal.seen


@pytest.mark.parametrize(
    "command", [("status",), ("stop",), ("kill", "--reason", "x"), ("why", "1"), ("why",)]
)
def test_commands_to_a_deployment_that_is_not_running_have_an_exit_code_of_their_own(
    name: str, tmp_path: Path, command: tuple[str, ...]
) -> None:
    done = bot4(*command, "--name", name, cwd=tmp_path)
    assert done.returncode == 3
    assert done.stdout == ""
    assert done.stderr == (
        f"bot4: {name} is not running; start it (bot4 run), or give its --name\n"
    )


def test_a_strategy_that_there_is_not_is_bad_configuration(name: str, tmp_path: Path) -> None:
    with Started(name, tmp_path, ml__strategy="nowhere:Strategy") as run:
        _, errors = run.end(78)
    assert "ml.strategy was 'nowhere:Strategy', but there is no module nowhere" in errors
    assert "Traceback" not in errors


def test_a_model_of_other_features_is_bad_configuration_before_anything_starts(
    name: str, tmp_path: Path
) -> None:
    with Started(name, tmp_path, ml__model="packaged") as run:  # with short averages
        _, errors = run.end(78)
    assert "ml.model was 'packaged', must fit; or do without" in errors
    assert "the model's: sma_fast, " in errors
    assert "computed here: sma_fast, " in errors
    assert "Traceback" not in errors
    assert list_segments(name) == []


def test_a_run_uses_the_packaged_model_and_keeps_three_books(name: str, tmp_path: Path) -> None:
    done = bot4(
        *("run", "--json", "--events", "16000", "--name", name, "--set", f"state_dir={tmp_path}"),
        *("--set", "exchange.rate=10000"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["model"]["state"] == "in use"
    rows = figures["stages"]["ta"]["records_out"]
    assert figures["model"]["asked"] == rows > figures["model"]["missing"] > 0
    books = figures["books"]
    assert books.keys() == {"ta", "ml", "blend", "instruments"}
    assert books["ta"]["trades"] > 0
    assert books["instruments"].keys() == {"BTCUSDT", "ETHUSDT", "SOLUSDT"}
    of_each = [each["ta"]["trades"] for each in books["instruments"].values()]
    assert sum(of_each) == books["ta"]["trades"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--set", "exchange.rate=0"), 78, "exchange.rate was 0, must be"),
        (("--set", "exchange.rat=5"), 78, "unknown key exchange.rat"),
        (("--set", "hosts.default.affinity.ta=[4095]"), 78, "affinity of ta was [4095]"),
        (("--set", "state_dir=/proc/nowhere"), 1, "/proc/nowhere"),
        (
            ("--venue", "bitmex"),
            78,
            "was 'bitmex', must be sim, binance, kraken, coinbase or one that",
        ),
        (("--venue", "kraken"), 78, "instruments of venue 'kraken' were none"),
        (("--duration", "0"), 2, "--duration"),
        (("--duration", "nan"), 2, "'--duration': was nan, must be finite"),
        (("--duration", "inf"), 2, "--duration"),
        (("--events", "0"), 2, "--events"),
        (("--seed", "-1"), 2, "--seed"),
    ],
)
def test_what_is_given_wrongly_is_named(
    name: str, tmp_path: Path, arguments: tuple[str, ...], code: int, said: str
) -> None:
    state = (
        () if any("state_dir" in each for each in arguments) else ("--set", f"state_dir={tmp_path}")
    )
    done = bot4("run", "--name", name, *state, *arguments, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_output_that_cannot_be_written_is_a_failure_in_one_line(name: str, tmp_path: Path) -> None:
    flags = ["--name", name, "--set", f"state_dir={tmp_path}"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [BOT4, "run", "--json", "--events", "10", *flags],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=PATIENCE_S,
            env=environment(),
            cwd=tmp_path,
        )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "bot4: [Errno 28] No space left on device"
    assert "Traceback" not in done.stderr
