from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import workers.ml
from pipeline.cli import main
from pipeline.config import load as load_config
from workers.ml.models import load
from workers.ml.training import features

_DEFAULT = Path(workers.ml.__file__).parent / "default"
_AGAIN = "bot4 train --simulated --model lr --out workers/ml/default"


def test_the_packaged_model_is_what_one_command_makes_again(tmp_path: Path) -> None:
    packaged = load(_DEFAULT).manifest
    command = [*_AGAIN.split()[1:-1], str(tmp_path / "again")]
    config = Path(workers.ml.__file__).parents[2] / "config.toml"
    done = CliRunner().invoke(main, ["--config", str(config), *command])
    assert done.exit_code == 0, done.stderr
    again = load(tmp_path / "again").manifest
    assert packaged.card.kernel == again.card.kernel, f"the features are others: {_AGAIN}"
    assert packaged.card.data_hash == again.card.data_hash, f"the market is another: {_AGAIN}"
    # Equal to the bit where it was made; but the order of BLAS depends on the CPU.
    with np.load(_DEFAULT / "model.npz") as old, np.load(tmp_path / "again" / "model.npz") as new:
        assert set(old) == set(new)
        for name in old:
            assert np.allclose(old[name], new[name], rtol=1e-4, atol=1e-6), _AGAIN


def test_the_packaged_model_is_of_the_packaged_kernel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    windows = load_config(None).config.resolved()["ta"]
    assert load(_DEFAULT, features.kernel(windows)).manifest.kind == "lr"
