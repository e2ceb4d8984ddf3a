"""A model report as one HTML page that needs nothing else: to look at, to print, to send to someone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

Json = dict[str, Any]

_SIZE = 260
_STYLE = """
:root{color-scheme:light dark;--ink:#1d2733;--soft:#5b6875;--line:#d8dee5;--fill:#1f6feb;--back:#fff}
@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--soft:#9aa7b4;--line:#313a44;--fill:#58a6ff;--back:#0f151b}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--back);
max-width:1000px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}h3{font-size:1rem}p,small,caption{color:var(--soft)}
table{border-collapse:collapse;margin:.5rem 0}
th,td{padding:.25rem .6rem;text-align:right;border-bottom:1px solid var(--line)}
th:first-child,td:first-child{text-align:left}
figure{display:inline-block;margin:0 1.5rem 1rem 0}figcaption{color:var(--soft)}
svg{display:block}svg .axis{stroke:var(--line);fill:none}svg .curve{stroke:var(--fill);fill:none;stroke-width:2}
svg .bar{fill:var(--fill)}svg text{fill:var(--soft);font-size:11px}.wide{overflow-x:auto}
"""


def page(report: Json, *, title: str, about: Sequence[tuple[str, str]], live: Json | None, live_name: str) -> str:
    """The whole document.

    Args:
        report: by head, as `workers.report` makes them.
        about: what it is about: name and value, in the order of the page.
        live: the report of the version that serves on the same rows, or None; `live_name`: what to call it.
    """
    parts = [f"<h1>{escape(title)}</h1>", _rows(("", ""), about)]
    for name, head in report["heads"].items():
        if name:
            parts.append(f"<h2>Head {escape(name)}</h2>")
        parts.append(_head(head, (live or {}).get("heads", {}).get(name), live_name))
    if report.get("importance"):
        parts.append(
            "<h2>Importance of columns</h2><p>How much the loss grows when the column's values are shuffled.</p>"
        )
        parts.append(
            _rows(
                ("column", "loss increase"), [(e["column"], number(e["loss_increase"])) for e in report["importance"]]
            )
        )
    for note in report.get("notes", []):
        parts.append(f"<p>{escape(note)}</p>")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, '
        f'initial-scale=1"><title>{escape(title)}</title><style>{_STYLE}</style></head>'
        f"<body><main>{''.join(parts)}</main>"
        "</body></html>\n"
    )


def _head(head: Json, live: Json | None, live_name: str) -> str:
    parts = [f"<p>{head['rows']:,} of {head['total_rows']:,} rows.</p>", _metrics(head, live, live_name)]
    if "confusion" in head:
        parts.append(_confusion(head["confusion"]))
    if "classes" in head:
        columns = ("precision", "recall", "f1", "support")
        rows = [(e["class"], *(number(e[c]) for c in columns)) for e in head["classes"]]
        parts.append(f"<h3>Classes</h3><div class=wide>{_rows(('class', *columns), rows)}</div>")
    for curve in head.get("curves", []):
        parts.append(_curves(curve))
    if "residuals" in head:
        parts.append(_residuals(head["residuals"]))
    for sliced in head.get("slices", {}).get("columns", []):
        parts.append(_slices(head["slices"]["metric"], sliced))
    if head.get("worst_rows"):
        parts.append(_worst(head["worst_rows"]))
    return "".join(parts)


def _metrics(head: Json, live: Json | None, live_name: str) -> str:
    names = ("metric", "this checkpoint", live_name) if live else ("metric", "value")
    rows = []
    for name, value in head["metrics"].items():
        row = (name.replace("_", " "), number(value))
        rows.append((*row, number(live["metrics"].get(name))) if live else row)
    return f"<h3>Metrics</h3>{_rows(names, rows)}"


def _confusion(confusion: Json) -> str:
    labels = confusion["labels"]
    if len(labels) > 30:
        return ""
    head = "".join(f"<th>{escape(label)}</th>" for label in labels)
    body = []
    for label, row in zip(labels, confusion["matrix"], strict=True):
        total = sum(row) or 1
        cells = "".join(
            f'<td style="background:color-mix(in srgb,var(--fill) {70 * cell / total:.0f}%,transparent)">{cell:g}</td>'
            for cell in row
        )
        body.append(f"<tr><th>{escape(label)}</th>{cells}</tr>")
    return (
        "<h3>Confusion matrix</h3><div class=wide><table><caption>True class per row, predicted class per column."
        f"</caption><tr><th></th>{head}</tr>{''.join(body)}</table></div>"
    )


def _curves(curve: Json) -> str:
    figures = []
    if curve["roc"]:
        points = zip(curve["roc"]["false_positive_rate"], curve["roc"]["true_positive_rate"], strict=True)
        figures.append(_line(points, f"ROC, area {number(curve['roc']['auc'])}", diagonal=True))
    if curve["precision_recall"]:
        points = zip(curve["precision_recall"]["recall"], curve["precision_recall"]["precision"], strict=True)
        figures.append(
            _line(points, f"Precision per recall, average {number(curve['precision_recall']['average_precision'])}")
        )
    calibration = curve["calibration"]
    points = zip(calibration["mean_score"], calibration["share_positive"], strict=True)
    error = number(calibration["expected_calibration_error"])
    figures.append(_line(points, f"Calibration, expected error {error}", diagonal=True, dots=True))
    return f"<h3>Class {escape(curve['class'])}</h3>{''.join(figures)}{_thresholds(curve['thresholds'])}"


def _thresholds(table: Json) -> str:
    rows = []
    for place in range(10, 100, 10):
        hits, false_alarms = table["true_positives"][place], table["false_positives"][place]
        misses = table["false_negatives"][place]
        precision = hits / (hits + false_alarms) if hits + false_alarms else None
        recall = hits / (hits + misses) if hits + misses else None
        cells = (hits, false_alarms, misses, table["true_negatives"][place])
        rows.append((f"{table['threshold'][place]:.1f}", *(f"{c:g}" for c in cells), number(precision), number(recall)))
    names = (
        "threshold",
        "true positives",
        "false positives",
        "false negatives",
        "true negatives",
        "precision",
        "recall",
    )
    return f"<div class=wide>{_rows(names, rows)}</div>"


def _residuals(residuals: Json) -> str:
    quantiles = [(f"{entry['quantile']:.0%}", number(entry["value"])) for entry in residuals["quantiles"]]
    edges, rows = residuals["histogram"]["edges"], residuals["histogram"]["rows"]
    width, most = _SIZE * 2 / len(rows), max(rows) or 1
    bars = "".join(
        f'<rect class="bar" x="{i * width:.1f}" y="{_SIZE * (1 - count / most):.1f}" width="{width - 1:.1f}" '
        f'height="{_SIZE * count / most:.1f}"><title>{edges[i]:.4g} to {edges[i + 1]:.4g}: {count}</title></rect>'
        for i, count in enumerate(rows)
    )
    return (
        f'<h3>Residuals</h3><figure><svg width="{_SIZE * 2}" height="{_SIZE + 16}" role="img" aria-label="Histogram of '
        f'residuals">{bars}<text x="0" y="{_SIZE + 13}">{edges[0]:.4g}</text><text x="{_SIZE * 2}" y="{_SIZE + 13}" '
        f'text-anchor="end">{edges[-1]:.4g}</text></svg><figcaption>Prediction minus label</figcaption></figure>'
        f"{_rows(('quantile', 'residual'), quantiles)}"
    )


def _slices(metric: str, sliced: Json) -> str:
    rows = [
        (
            entry["slice"],
            f"{entry['rows']:,}",
            number(entry["value"]),
            f"{number(entry['low'])} to {number(entry['high'])}",
        )
        for entry in sliced["slices"]
    ]
    names = ("slice", "rows", metric.replace("_", " "), "95 % interval")
    return f"<h3>By {escape(sliced['column'])}</h3>{_rows(names, rows)}"


def _worst(worst: list[Json]) -> str:
    columns = list(worst[0]["values"])[:8]
    rows = [
        (
            f"{e['row']:,}",
            number(e["loss"]),
            text(e["label"]),
            text(e["predicted"]),
            *(text(e["values"][c]) for c in columns),
        )
        for e in worst
    ]
    return f"<h3>Worst rows</h3><div class=wide>{_rows(('row', 'loss', 'label', 'predicted', *columns), rows)}</div>"


def _line(points: Iterable[tuple[float, float]], caption: str, *, diagonal: bool = False, dots: bool = False) -> str:
    """A curve in the unit square."""
    placed = [(x * _SIZE, (1 - y) * _SIZE) for x, y in points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
    marks = "".join(f'<circle class="bar" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in placed) if dots else ""
    cross = f'<path class="axis" stroke-dasharray="4" d="M0 {_SIZE}L{_SIZE} 0"/>' if diagonal else ""
    return (
        f'<figure><svg width="{_SIZE + 2}" height="{_SIZE + 2}" role="img" aria-label="{escape(caption)}">'
        f'<rect class="axis" width="{_SIZE}" height="{_SIZE}"/>{cross}<polyline class="curve" points="{path}"/>{marks}'
        f"</svg><figcaption>{escape(caption)}</figcaption></figure>"
    )


def _rows(names: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in names) if any(names) else ""
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table>{f'<tr>{head}</tr>' if head else ''}{body}</table>"


def number(value: Any) -> str:
    """Four significant digits; a dash for what is not defined."""
    return "–" if value is None else f"{value:.4g}"


def text(value: Any) -> str:
    """A cell of the data, shortened."""
    shown = number(value) if isinstance(value, float) else "–" if value is None else str(value)
    return shown if len(shown) <= 40 else f"{shown[:39]}…"
