"""What a model's answer costs, from Python: the project's evaluators and their peers.

Prints a table, or --json. Ends with 1 if a model was not evaluated as scikit-learn does, and with 0
whatever the other figures are.
"""

from __future__ import annotations

import importlib
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

sys.path.append(str(Path(__file__).resolve().parent.parent))  # for: python perf/ml.py

from perf import asked, machine, script
from perf.ranks import percentiles
from workers.ml.models import Card, Kernel, ModelError, export, load
from workers.ml.models.export import LEAST_ROWS
from workers.ml.models.load import ALL_VALID

FEATURES, TREES, DEPTH = 28, 100, 9
TRAINING_ROWS = 8_000
SEED = 20261123

SECONDS, REPEATS = 0.5, 7
QUICK_SECONDS, QUICK_REPEATS = 0.1, 3
LEAST_CALLS = 50  # of a measurement, however long they take

KINDS = ("hgb", "rf", "lr")
ROWS = (1, 20)
LIMIT_US = 50.0
TREE_DIFFERENCE, LINEAR_DIFFERENCE = 0.0, 1e-12

METHOD = f"""\
One call gives the probabilities of 1 row or 20 rows of {FEATURES} features. hgb: gradient boosting,
{TREES} trees of 31 leaves; rf: a random forest, {TREES} trees of depth {DEPTH}; lr: logistic
regression, standardised; each trained on {TRAINING_ROWS:,} seeded random rows. Calls follow each
other, each with other rows, and are timed one by one from Python; reading the clock is not
subtracted. Caches are warm. max_abs_diff is from scikit-learn's on {LEAST_ROWS:,} rows.
All on one thread. bot4: the native evaluator through its binding, into arrays that are there.
{asked.CASE}: a logistic regression in a process of its own, placed as in a
run; from a question's way into its ring until its answer is taken, by a loop that yields.
scikit-learn: predict_proba, with assume_finite. onnxruntime: converted by skl2onnx, float32.
Repeats are interleaved, figures are their medians. Excluded: training, loading."""

Floats = npt.NDArray[np.float64]
Evaluate = Callable[[Any], Any]
Result = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Peer:
    """One way to evaluate a model.

    Attributes:
        name: Of the peer.
        kind: Of the model.
        prepare: Rows as it takes them.
        evaluate: Such rows to probabilities, in whatever shape it has them; this is timed.
        probabilities: What `evaluate` gave, as those of the second class.
    """

    name: str
    kind: str
    prepare: Callable[[Floats], Any]
    evaluate: Evaluate
    probabilities: Callable[[Any], Floats]


@click.command(help=__doc__)
@script.json_option
@script.quick_option("End within 20 s; noisier.")
@script.seconds_option
@script.repeats_option
def main(as_json: bool, quick: bool, seconds: float | None, repeats: int | None) -> None:
    """Measure, print, and exit."""
    found = run(
        seconds or (QUICK_SECONDS if quick else SECONDS),
        repeats or (QUICK_REPEATS if quick else REPEATS),
    )
    script.tell(found, show, as_json=as_json)
    sys.exit(1 if found["failed"] else 0)


def run(seconds: float, repeats: int) -> dict[str, Any]:
    """Measure every peer; return all there is to tell, as data."""
    about = machine.describe(("scikit-learn", "onnxruntime", "skl2onnx"))
    date = script.now()
    skipped: dict[str, str] = {}
    failed: dict[str, str] = {}
    samples: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    differences: dict[tuple[str, str], float] = {}
    if machine.version("scikit-learn") is None:
        failed["all"] = "scikit-learn is not installed: pip install 'bot4[perf]'"
        peers = []
    else:
        # Threads for one row would only wait for each other. Limits hold for what is loaded.
        importlib.import_module("sklearn.ensemble")
        importlib.import_module("threadpoolctl").threadpool_limits(1)
        rows = np.random.default_rng(SEED).normal(size=(LEAST_ROWS, FEATURES))
        peers = _peers(rows, skipped, failed)
    for peer in peers:
        everything = peer.probabilities(peer.evaluate(peer.prepare(rows)))
        theirs = next(p for p in peers if (p.name, p.kind) == ("scikit-learn", peer.kind))
        expected = theirs.probabilities(theirs.evaluate(theirs.prepare(rows)))
        differences[peer.name, peer.kind] = float(np.max(np.abs(everything - expected)))
    for repeat in range(repeats):
        script.progress(f"repeat {repeat + 1} of {repeats}")
        for peer in peers:
            for count in ROWS:
                samples[peer.name, _case(peer.kind, count)].append(
                    _measure(peer, rows, count, seconds)
                )
    if peers:
        try:
            with asked.asked() as desk:
                differences["bot4", asked.CASE.split()[0]] = desk.difference(200)
                for _ in range(repeats):
                    samples["bot4", asked.CASE].append(desk.measure(seconds))
        except (ImportError, ModelError) as error:
            skipped[f"bot4 {asked.CASE}"] = str(error)
    results = [
        {
            "name": name,
            "case": case,
            "p50_us": round(statistics.median(p50 for p50, _ in measured), 2),
            "p99_us": round(statistics.median(p99 for _, p99 in measured), 2),
            "max_abs_diff": differences[name, case.split()[0]],
            "repeats": len(measured),
        }
        for (name, case), measured in samples.items()
    ]
    return {
        "machine": about,
        "date": date,
        "seconds": seconds,
        "method": METHOD,
        "results": results,
        "expectations": expectations(results),
        "skipped": skipped,
        "failed": failed,
    }


def expectations(results: Sequence[Result]) -> list[dict[str, Any]]:
    """Return what was expected and what was measured; `met` is None if a figure is missing."""
    ours = {each["case"]: each for each in results if each["name"] == "bot4"}
    found: list[dict[str, Any]] = []
    for kind in KINDS:
        result = ours.get(_case(kind, 1))
        most = LINEAR_DIFFERENCE if kind == "lr" else TREE_DIFFERENCE
        speed = None if result is None else result["p99_us"]
        difference = None if result is None else result["max_abs_diff"]
        found += [
            {
                "expected": f"{kind}: p99 of 1 row < {LIMIT_US:g} us",
                "measured": speed,
                "met": None if speed is None else speed < LIMIT_US,
            },
            {
                "expected": f"{kind}: within {most:g} of scikit-learn",
                "measured": difference,
                "met": None if difference is None else difference <= most,
            },
        ]
    trip = ours.get(asked.CASE)
    trip_ms = None if trip is None else trip["p99_us"] / 1e3
    found.append(
        {
            "expected": f"{asked.CASE}: p99 within the budget of {asked.BUDGET_MS:g} ms",
            "measured": trip_ms,
            "met": None if trip_ms is None else trip_ms < asked.BUDGET_MS,
        }
    )
    return found


def show(report: Mapping[str, Any], console: Console) -> None:
    """Print a report for a reader."""
    console.print(machine.in_words(report["machine"]))
    console.print(f"{report['date']}\n\n{METHOD}\n")
    table = Table(title=f"each measurement {report['seconds']} s", title_justify="left")
    table.add_column("case", no_wrap=True)
    table.add_column("evaluator", no_wrap=True)
    for column in ("p50 us", "p99 us", "max. difference", "times bot4's p50"):
        table.add_column(column, justify="right", no_wrap=True)
    ours = {each["case"]: each["p50_us"] for each in report["results"] if each["name"] == "bot4"}
    ordered = sorted(report["results"], key=lambda each: list(ours).index(each["case"]))
    before = None
    for each in ordered:
        if before not in (None, each["case"]):
            table.add_section()
        before = each["case"]
        table.add_row(
            each["case"],
            each["name"],
            f"{each['p50_us']:,.1f}",
            f"{each['p99_us']:,.1f}",
            f"{each['max_abs_diff']:.1g}",
            "" if each["name"] == "bot4" else f"{each['p50_us'] / ours[each['case']]:,.1f}",
            style="bold" if each["name"] == "bot4" else "",
        )
    console.print(table)
    script.show_end(report, console)


def _case(kind: str, count: int) -> str:
    return f"{kind} {count} row{'s' if count > 1 else ''}"


def _measure(peer: Peer, rows: Floats, count: int, seconds: float) -> tuple[float, float]:
    """Return p50 and p99 of a call with that many rows, in us."""
    inputs = [peer.prepare(rows[at : at + count]) for at in range(0, 1000 * count, count)]
    evaluate, now = peer.evaluate, time.perf_counter_ns
    for each in inputs[:20]:
        evaluate(each)
    taken: list[int] = []
    end = now() + int(seconds * 1e9)
    while len(taken) < LEAST_CALLS or now() < end:
        for each in inputs[: LEAST_CALLS if len(taken) < LEAST_CALLS else None]:
            begin = now()
            evaluate(each)
            taken.append(now() - begin)
            if begin > end and len(taken) >= LEAST_CALLS:
                break
    p50, p99 = percentiles(taken, (500, 990))
    return p50 / 1e3, p99 / 1e3


def _peers(rows: Floats, skipped: dict[str, str], failed: dict[str, str]) -> list[Peer]:
    """Return each model in each way to evaluate it."""
    random = np.random.default_rng(SEED + 1)
    x = random.normal(size=(TRAINING_ROWS, FEATURES))
    y = (x[:, 0] + x[:, 1] * x[:, 2] + random.normal(size=len(x)) > 0).astype(np.int64)
    found = []
    for kind in KINDS:
        estimator = _estimator(kind).fit(x, y)
        found.append(_scikit_learn(kind, estimator))
        try:
            found.append(_bot4(kind, estimator, rows))
        except ModelError as error:
            failed[f"bot4 {kind}"] = str(error)
        try:
            found.append(_onnx(kind, estimator, x))
        # A peer that is missing, or whose converter fails: there are many ways.
        except Exception as error:
            skipped[f"onnxruntime {kind}"] = f"{type(error).__name__}: {error}".splitlines()[0]
    return found


def _estimator(kind: str) -> Any:
    ensemble = importlib.import_module("sklearn.ensemble")
    if kind == "hgb":
        return ensemble.HistGradientBoostingClassifier(
            max_iter=TREES, early_stopping=False, random_state=SEED
        )
    if kind == "rf":
        return ensemble.RandomForestClassifier(TREES, max_depth=DEPTH, random_state=SEED)
    pipeline = importlib.import_module("sklearn.pipeline")
    return pipeline.make_pipeline(
        importlib.import_module("sklearn.preprocessing").StandardScaler(),
        importlib.import_module("sklearn.linear_model").LogisticRegression(),
    )


def _bot4(kind: str, estimator: Any, rows: Floats) -> Peer:
    names = tuple(f"feature_{i}" for i in range(FEATURES))
    kernel = Kernel(version=1, hash="random", features=names)
    card = Card(features=names, kernel=kernel, seed=SEED, data_hash="random")
    with tempfile.TemporaryDirectory(prefix="bot4-perf-") as directory:
        export(estimator, directory, card=card, rows=rows)
        native = load(directory, kernel).native

    def prepare(some: Floats) -> Any:
        count = len(some)
        return some, np.full(count, ALL_VALID), np.empty(count), np.empty(count, np.bool_)

    def evaluate(arrays: Any) -> Any:
        native.evaluate(*arrays)
        return arrays

    return Peer("bot4", kind, prepare, evaluate, lambda arrays: arrays[2])


def _scikit_learn(kind: str, estimator: Any) -> Peer:
    importlib.import_module("sklearn").set_config(assume_finite=True)
    return Peer(
        "scikit-learn",
        kind,
        lambda some: some,
        estimator.predict_proba,
        lambda probabilities: np.asarray(probabilities[:, 1]),
    )


def _onnx(kind: str, estimator: Any, x: Floats) -> Peer:
    runtime = importlib.import_module("onnxruntime")
    converted = importlib.import_module("skl2onnx").to_onnx(
        estimator, x[:1].astype(np.float32), options={"zipmap": False}
    )
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = runtime.InferenceSession(
        converted.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name
    return Peer(
        "onnxruntime",
        kind,
        lambda some: {name: some.astype(np.float32)},
        lambda feed: session.run(["probabilities"], feed)[0],
        lambda probabilities: np.asarray(probabilities[:, 1], np.float64),
    )


if __name__ == "__main__":
    main()
