"""A model's card as tables, and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from rich.table import Table
from rich.text import Text

from pipeline.cli.view import BOOK_NAMES

_KINDS = {
    "hgb": "histogram gradient boosting",
    "rf": "random forest",
    "lr": "logistic regression",
    "skops": "an estimator in a file of skops, evaluated by a process of its own",
}
_SIZES = {
    "tick": ("trades_per_bar", "trades"),
    "time": ("interval_ms", "ms"),
    "volume": ("lots_per_bar", "lots"),
}
_FEATURES = 10  # that are shown, the most important first


def document(manifest: Any) -> dict[str, Any]:
    """Return the manifest as what JSON knows."""
    built: dict[str, Any] = msgspec.to_builtins(manifest)
    return built


def tables(manifest: Any) -> Iterator[Table]:
    """Yield the tables of a card; what it does not say is left out."""
    card = manifest.card
    yield _about(manifest)
    metrics = card.metrics
    if isinstance(metrics.get("folds"), Sequence) and isinstance(metrics.get("final"), Mapping):
        yield _periods(metrics, card.splits)
        if "books" in metrics["final"]:
            yield _books(metrics, card.splits)
    if importance := metrics.get("importance"):
        yield _importance(importance)


def _table(title: str) -> Table:
    return Table(title=Text(title), title_justify="left")


def _about(manifest: Any) -> Table:
    card = manifest.card
    table = _table("model")
    table.add_column("", no_wrap=True)
    table.add_column("", overflow="fold")
    for name, text in _facts(manifest):
        table.add_row(name, Text(text))
    table.add_row("features", Text(", ".join(card.features)))
    table.show_header = False
    return table


def _facts(manifest: Any) -> Iterator[tuple[str, str]]:
    card, data, labels = manifest.card, manifest.card.data, manifest.card.labels
    is_native = manifest.kind != "skops"
    own = f", calibration {manifest.calibration}, seed {card.seed}" if is_native else ""
    yield "kind", f"{_KINDS[manifest.kind]}{own}"
    if not is_native:
        yield "data to", data.get("to", "it does not say")
        yield "trusted", ", ".join(manifest.trusted) or "no type beyond those known to be safe"
    yield "kernel", f"features of version {card.kernel.version}, {card.kernel.hash[:12]}"
    if "bar" in data:
        key, unit = _SIZES.get(str(data["bar"]), ("size", ""))
        yield "bars", f"{data['bar']} bars of {data.get(key)} {unit}".rstrip()
    else:
        yield "bars", "it does not say; no run compares them with its own"
    for history in data.get("histories", ()):
        yield (
            "history",
            "{name}: {bars:,} bars from {from} to {to}, {missing:,} missing, {duplicates:,} twice, "
            "{segments:,} segments".format_map(history),
        )
    if "rows" in data:
        yield (
            "rows",
            "{rows:,}, {labels:,} labels ({effective:,.0f} without overlap), {neutral:,} neutral, "
            "{ambiguous:,} ambiguous".format_map(data),
        )
    if "rise" in labels:
        yield "labels", f"a rise is class {labels['rise']}"
    if "horizon" in labels:
        yield (
            "labels",
            "{kind}: {atr:g} ATR and {cost_bp:g} bp of costs, within {horizon} bars".format_map(
                labels
            ),
        )
    if canary := card.metrics.get("canary"):
        yield (
            "canary",
            "AUC on random walks {auc:.3f}, {z:+.1f} standard errors from 0.5; of a clock alone "
            "{clock_auc:.3f}, {clock_z:+.1f}; must be below {limit:g}".format_map(canary),
        )
    if trials := card.metrics.get("trials"):
        yield "trials", f"{trials} on these data, which the final p counts"
    if is_native:
        check = manifest.check
        told = "native and scikit-learn differ by {:g} on {:,} rows, may by {:g}"
        yield "check", told.format(check.max_abs_diff, check.rows, check.tolerance)
    yield "versions", ", ".join(f"{name} {version}" for name, version in manifest.versions.items())
    what = "arrays" if is_native else "file"
    yield what, f"{manifest.arrays.bytes:,} bytes, SHA-256 {manifest.arrays.sha256[:12]}"


_COLUMNS = ("test", "labels", "AUC", "p", "log loss", "Brier", "right / base", "trades", "net")


def _periods(metrics: Mapping[str, Any], splits: Mapping[str, Any]) -> Table:
    table = _table(
        f"tests, walking forward; trades from a signal of {metrics['threshold']:g}, net in bp"
    )
    for column in _COLUMNS:
        table.add_column(column, justify="left" if column == "test" else "right", no_wrap=True)
    for name, found in _tests(metrics, splits):
        table.add_row(
            name,
            f"{found['labels']:,}",
            f"{found['auc']:.3f} +-{found['auc_error']:.3f}",
            f"{found['p_value']:.2f}",
            f"{found['log_loss']:.4f}",
            f"{found['brier']:.4f}",
            f"{found['accuracy']:.3f} / {found['base_rate']:.3f}",
            f"{found['trades']:,}",
            f"{found['net_bp']:+.1f}" if found["trades"] else "-",
        )
    return table


def _tests(
    metrics: Mapping[str, Any], splits: Mapping[str, Any]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the name of each test, and what was found in it."""
    rows = [*metrics["folds"], metrics["final"]]
    for number, (period, found) in enumerate(zip(splits["periods"], rows, strict=True), 1):
        name = "final" if number == len(rows) else str(number)
        yield f"{name} from {period['test']['from'][:10]}", found


def _books(metrics: Mapping[str, Any], splits: Mapping[str, Any]) -> Table:
    table = _table("the same tests by the rules of [ml], at closes: sum of trades net of costs, bp")
    table.add_column("test", no_wrap=True)
    for name in BOOK_NAMES.values():
        table.add_column(f"{name} (trades)", justify="right", no_wrap=True)
    for test, found in _tests(metrics, splits):
        books = [found["books"][way] for way in BOOK_NAMES]
        table.add_row(test, *(f"{book['net_bp']:+,.1f} ({book['trades']:,})" for book in books))
    return table


def _importance(importance: Mapping[str, float]) -> Table:
    table = _table("importance: growth of the log loss")
    table.add_column("feature")
    table.add_column("log loss", justify="right", min_width=20)
    ranked = sorted(importance.items(), key=lambda item: -item[1])
    for name, value in ranked[:_FEATURES]:
        table.add_row(Text(name), f"{value:+.5f}")
    if len(ranked) > _FEATURES:
        table.add_row(f"and {len(ranked) - _FEATURES} more", "(--json)")
    return table
