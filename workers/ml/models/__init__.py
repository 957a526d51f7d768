"""Models as data: scikit-learn's estimators exported to flat arrays, and evaluated natively.

A model is a directory with `model.npz`, the arrays, and `manifest.json`, which says what they are,
what they were made from and what their SHA-256 is. `export` writes one, `load` reads one.

Other estimators are a directory with `model.skops` instead, which `estimator` writes and reads.
"""

from __future__ import annotations

from workers.ml.models.estimator import whole
from workers.ml.models.export import export
from workers.ml.models.load import Model, load, read_manifest
from workers.ml.models.manifest import Card, Kernel, Manifest, ModelError

__all__ = [
    "Card",
    "Kernel",
    "Manifest",
    "Model",
    "ModelError",
    "export",
    "load",
    "read_manifest",
    "whole",
]
