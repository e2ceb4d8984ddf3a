"""A job as a notebook shows it: its state, its metrics and its curves, in HTML and SVG without scripts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

_WIDTH, _HEIGHT, _MARGIN = 320, 120, 6


def job_html(job: Mapping[str, Any], series: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """HTML of a job; `series` has its metric series, name to points of `step` and `value`."""
    progress = job.get("progress") or {}
    error = job.get("error") or {}
    facts = {
        "state": job["state"],
        "model": job.get("model"),
        "step": progress.get("step"),
        "loss": progress.get("loss"),
        "version": (job.get("result") or {}).get("version"),
        "error": f"{error['kind']}: {error['detail']}" if error else None,
    }
    rows = "".join(
        f"<tr><th style='text-align:left'>{name}</th><td>{escape(str(value))}</td></tr>"
        for name, value in facts.items()
        if value is not None
    )
    curves = "".join(curve_svg(name, points) for name, points in series.items())
    return f"<div><b>{escape(str(job['type']))} {escape(str(job['id']))}</b><table>{rows}</table>{curves}</div>"


def curve_svg(name: str, points: Sequence[Mapping[str, Any]]) -> str:
    """A curve with its least and greatest value; nothing for fewer than two points that are numbers."""
    known = [(point["step"], point["value"]) for point in points if point["value"] is not None]
    if len(known) < 2:
        return ""
    steps, values = zip(*known, strict=True)
    low, high = min(values), max(values)
    wide, tall = (steps[-1] - steps[0]) or 1, (high - low) or 1.0
    path = " ".join(
        f"{_MARGIN + (step - steps[0]) / wide * (_WIDTH - 2 * _MARGIN):.1f},"
        f"{_HEIGHT - _MARGIN - (value - low) / tall * (_HEIGHT - 2 * _MARGIN):.1f}"
        for step, value in known
    )
    title = f"{escape(name)}: {low:.4g} to {high:.4g}, steps {steps[0]} to {steps[-1]}"
    return (
        f"<figure style='display:inline-block;margin:4px'><svg width='{_WIDTH}' height='{_HEIGHT}' role='img' "
        f"aria-label='{title}'><polyline points='{path}' fill='none' stroke='currentColor'/></svg>"
        f"<figcaption>{title}</figcaption></figure>"
    )
