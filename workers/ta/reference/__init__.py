"""Technical analysis in slow, obvious Python: the documentation of the kernels in `native/`.

Held to the same tests: every value comes from the same operations in the same order, so from the
same bits.
"""

from workers.ta.reference.kernel import TechnicalAnalysis

__all__ = ["TechnicalAnalysis"]
