"""The configuration: read from everywhere it may be given, checked as a whole, with its origins.

`model.py` says what there is, `values.py` of what kinds, `load.py` where it comes from.
"""

from pipeline.config.load import DEFAULT, ConfigError, Loaded, Origin, load
from pipeline.config.model import Config
from pipeline.config.values import Cpus

__all__ = ["DEFAULT", "Config", "ConfigError", "Cpus", "Loaded", "Origin", "load"]
