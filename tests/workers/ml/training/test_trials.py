from __future__ import annotations

from pathlib import Path

import pytest

from workers.ml.training.error import TrainingError
from workers.ml.training.trials import FILE, count_trial

_DATA, _OTHER = "da" * 32, "db" * 32
_TRIALS = ["1a" * 32, "1b" * 32]


def test_trials_on_the_same_data_are_counted_and_the_same_one_once(tmp_path: Path) -> None:
    counts = [count_trial(tmp_path / "new", _DATA, trial) for trial in (*_TRIALS, *_TRIALS)]
    assert counts == [1, 2, 2, 2]
    assert count_trial(tmp_path / "new", _OTHER, _TRIALS[0]) == 1
    assert [path.name for path in (tmp_path / "new").iterdir()] == [FILE]


@pytest.mark.parametrize("text", [b"{", b'{"a": []}', b"\xff", b"[]"])
def test_a_file_that_is_no_count_is_not_overwritten(tmp_path: Path, text: bytes) -> None:
    (tmp_path / FILE).write_bytes(text)
    with pytest.raises(TrainingError, match=r"trials\.json: is no count of trials .* into another"):
        count_trial(tmp_path, _DATA, _TRIALS[0])
    assert (tmp_path / FILE).read_bytes() == text


def test_a_directory_that_cannot_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingError, match="cannot be read or written"):
        count_trial(tmp_path / "file", _DATA, _TRIALS[0])


def test_nothing_is_left_of_a_count_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()
    with pytest.raises(TrainingError, match="cannot be read or written"):
        count_trial(tmp_path, _DATA, _TRIALS[0])
    assert [path.name for path in tmp_path.iterdir()] == [FILE]
