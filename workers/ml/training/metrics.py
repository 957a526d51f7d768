"""How good probabilities are, and how sure that is."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np

from workers.ml.training.dataset import Dataset, Floats
from workers.ml.training.error import TrainingError
from workers.ml.training.splits import Rows

_BP = 10_000.0


@dataclass(frozen=True, slots=True)
class Metrics:
    """Of one test period.

    Attributes:
        rows: At which one could have traded.
        labels: ... of which one way was worth its costs; all but the last two are of these.
        effective: The sum of their uniqueness, of one instrument: as many that do not overlap would
            tell as much.
        auc: Area under the ROC curve; 0.5: no skill.
        auc_error: Standard error that it has without any skill.
        log_loss: Mean of -ln(probability of what came).
        brier: Mean of (probability - outcome) squared.
        accuracy: Share that is right at a probability of 0.5.
        base_rate: Share of the more frequent class, which one is right with by always saying it.
        trades: Rows at which the signal |2 p - 1| reached the threshold.
        net_bp: Mean return of these, net of costs, basis points; 0 without any.
    """

    rows: int
    labels: int
    effective: float
    auc: float
    auc_error: float
    log_loss: float
    brier: float
    accuracy: float
    base_rate: float
    trades: int
    net_bp: float

    @property
    def z(self) -> float:
        """By how many standard errors the AUC is above 0.5."""
        return (self.auc - 0.5) / self.auc_error

    def as_dict(self) -> dict[str, float]:
        """Return them for a model's card."""
        return asdict(self)


def judge(probability: Floats, data: Dataset, rows: Rows, threshold: float) -> Metrics:
    """Return how good probabilities are.

    Args:
        probability: Of "up", shape (rows,).
        data: What came.
        rows: Which of it.
        threshold: Least |2 p - 1| that is traded.

    Raises:
        TrainingError: only one of the classes came.
    """
    from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

    decided = data.decided[rows]
    up, weight = data.up[rows][decided], data.weight[rows][decided]
    if up.all() or not up.any():
        raise TrainingError(
            f"labels of a test period of {len(rows)} rows were of one kind; use more data"
        )
    signal = 2.0 * probability - 1.0
    traded = np.abs(signal) >= threshold
    # Also where neither way was worth its costs: who trades does not know that before.
    returns = np.where(signal > 0, data.long[rows], data.short[rows])[traded]
    known = probability[decided]
    return Metrics(
        rows=len(rows),
        labels=len(up),
        effective=float(weight.sum()) / data.together,
        auc=float(roc_auc_score(up, known)),
        auc_error=auc_error(*(float(weight[of].sum()) / data.together for of in (up, ~up))),
        log_loss=float(log_loss(up, known)),
        brier=float(brier_score_loss(up, known)),
        accuracy=float(np.mean((known > 0.5) == up)),
        base_rate=float(max(np.mean(up), 1.0 - np.mean(up))),
        trades=int(traded.sum()),
        net_bp=float(returns.mean() * _BP) if len(returns) else 0.0,
    )


def auc_error(ups: float, downs: float) -> float:
    """Return the standard error of an AUC without skill.

    That of the Mann-Whitney statistic, sqrt((m + n + 1) / (12 m n)) for m and n independent labels.
    """
    return math.sqrt((ups + downs + 1.0) / (12.0 * ups * downs))


def p_value(z: float, trials: int = 1) -> float:
    """Return how probable it is that the best of so many trials without skill is as good as that.

    Sidak's correction: 1 - (1 - p) ** trials.
    """
    from scipy.stats import norm

    once = float(norm.sf(z))
    return -math.expm1(trials * math.log1p(-once)) if once < 1.0 else 1.0
