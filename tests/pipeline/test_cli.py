"""The command line, started as a user starts it."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from shm import Layout, Segment, WordsSpec, list_segments

BOT4 = str(Path(sys.executable).with_name("bot4"))


@pytest.fixture
def config(tmp_path: Path, name: str) -> Path:
    """A configuration with this test's own deployment name."""
    file = tmp_path / "config.toml"
    file.write_text(f'name = "{name}"\n')
    return file


def bot4(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BOT4, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "COLUMNS": "100"},
    )


def test_help_lists_every_command_without_importing_them() -> None:
    done = bot4("--help")
    assert done.returncode == 0
    for command in ("demo", "shm"):
        assert f"  {command} " in done.stdout
        assert bot4(command, "--help").returncode == 0
    code = (
        "import sys; from pipeline.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "sys.exit(bool({'numpy', 'rich', 'pydantic'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_an_unknown_command_or_option_is_a_usage_error() -> None:
    assert bot4("trade").returncode == 2
    assert bot4("demo", "--rate", "0").returncode == 2
    assert bot4("demo", "--duration", "-1").returncode == 2
    assert bot4("demo", "--duration", "nan").returncode == 2


def test_the_demonstration_ends_by_itself_with_a_table(config: Path) -> None:
    done = bot4("--config", config, "demo", "--duration", "1")
    assert done.returncode == 0, done.stderr
    assert "records back in" in done.stdout
    assert ", 0 out of order" in done.stdout
    for hop in ("source -> echo", "echo -> source", "round trip since due"):
        assert hop in done.stdout


def test_the_demonstration_as_json_counts_every_record(config: Path) -> None:
    done = bot4("--config", config, "demo", "--duration", "1", "--rate", "2000", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["sent"] == result["received"] > 100
    assert result["out_of_order"] == 0
    for hop in ("there", "back", "round_trip"):
        latency = result["latency_ns"][hop]
        assert latency["count"] == result["sent"]
        assert 0 < latency["p50"] <= latency["p99"] <= latency["p999"] <= latency["max"]


def test_the_shortest_demonstration_still_sends_something(config: Path) -> None:
    done = bot4("--config", config, "demo", "--duration", "0", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["received"] == json.loads(done.stdout)["sent"] > 0


def test_output_that_cannot_be_written_is_a_failure_in_one_line(config: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [BOT4, "--config", str(config), "demo", "--duration", "1"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    assert done.returncode == 1
    assert done.stderr.startswith("bot4: [Errno 28] No space left on device")
    assert "Traceback" not in done.stderr


@pytest.fixture
def running(config: Path) -> Iterator[subprocess.Popen[str]]:
    """A demonstration that has been going on for a while; prints a line when it has."""
    process = subprocess.Popen(
        [BOT4, "--config", str(config), "demo"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    lines = iter(process.stdout.readline, "")
    assert any("round trip p50" in line for line in lines)
    yield process
    process.kill()
    process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_in_order_with_the_table(
    running: subprocess.Popen[str], number: int, name: str
) -> None:
    running.send_signal(number)
    out, err = running.communicate(timeout=30)
    assert running.returncode == 0, err
    assert "records back in" in out
    assert list_segments(name) == []


def test_a_killed_worker_ends_it_with_the_workers_name(
    running: subprocess.Popen[str], name: str
) -> None:
    os.kill(_children(running.pid)["bot4:echo"], signal.SIGKILL)
    _, err = running.communicate(timeout=30)
    assert running.returncode == 1
    assert err == "bot4: process echo ended by itself (exit status -9)\n"
    assert list_segments(name) == []


def test_killing_the_parent_takes_its_workers_along_and_the_segment_can_be_reaped(
    running: subprocess.Popen[str], name: str
) -> None:
    pidfds = [os.pidfd_open(pid) for pid in _children(running.pid).values()]
    assert len(pidfds) == 2
    running.kill()
    running.wait()
    for pidfd in pidfds:
        assert select.select([pidfd], [], [], 30)[0]  # readable once the process has ended
        os.close(pidfd)
    assert bot4("shm", "list", "--name", name).stdout.count("stale") == 1
    done = bot4("shm", "reap", "--name", name, "--json")
    assert [info["state"] for info in json.loads(done.stdout)] == ["stale"]
    assert bot4("shm", "reap", "--name", name).stdout == "nothing to remove\n"


def test_segments_are_listed_with_their_state(name: str) -> None:
    assert bot4("shm", "list", "--name", name).stdout == "no segments\n"
    with Segment.create(name, Layout(WordsSpec("w", ("x",))), run_id="r1") as segment:
        done = bot4("shm", "list", "--name", name)
        assert name in done.stdout
        assert "running" in done.stdout
        listed = json.loads(bot4("shm", "list", "--name", name, "--json").stdout)
        assert [info["path"] for info in listed] == [segment.path]
        assert bot4("shm", "reap", "--name", name).stdout == "nothing to remove\n"


def test_bad_configuration_has_an_exit_code_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text('nam = "x"\nname = 7\n')
    done = bot4("--config", file, "demo", "--duration", "1")
    assert done.returncode == 78
    assert done.stderr.count("\n") == 2
    file.write_text('[hosts.default.affinity]\nsorce = "auto"\n')
    done = bot4("--config", file, "demo", "--duration", "1")
    assert (done.returncode, done.stderr) == (
        78,
        "bot4: affinity names sorce, but the processes are source, echo\n",
    )
    file.write_text('nam = "x"\nname = 7\n')
    done = bot4("--config", file, "demo", "--duration", "1")
    assert "nam was 'x'" in done.stderr
    file.write_text("[hosts.default.affinity]\necho = [4095]\n")
    done = bot4("--config", file, "demo", "--duration", "1")
    assert done.returncode == 78
    assert "affinity of echo was [4095]" in done.stderr


def _children(pid: int) -> dict[str, int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return {Path(f"/proc/{child}/comm").read_text().strip(): int(child) for child in children}
