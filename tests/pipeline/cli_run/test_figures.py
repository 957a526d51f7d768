"""What a run tells of itself when it ends, and where its processes run."""

from __future__ import annotations

import json
import os
import re
import signal
from decimal import Decimal
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner

from pipeline import topology
from pipeline.affinity import PROCESSES
from pipeline.cli import run as cli
from pipeline.vocabulary import CHECKS
from tests.pipeline.supervisor.started import PATIENCE_S, Started, bot4

LATENCY = {"p50_us", "p99_us"}
NUMBER = int | float


def is_latency(value: object) -> bool:
    return value is None or (isinstance(value, NUMBER) and value > 0)


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
