#!/usr/bin/env python3
"""Draws the pictures of docs/concepts: of each `NAME.toml` the file `NAME.svg` beside it. Called by `scripts/pictures`.

A picture has boxes on a grid and arrows between them:

    [[box]]    name, at = [column, row], text (lines below the name), kind = "state" | "end" | "process" | "store"
    [[arrow]]  from, to, text (lines beside it), bend (how far it leaves the straight line, in pixels)
"""

from __future__ import annotations

import math
import sys
import tomllib
from html import escape
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
CONCEPTS = ROOT / "docs" / "concepts"
COLUMN, ROW = 250, 140
WIDTH, HEIGHT = 160, 62
MARGIN = 30
_FILL = {"state": "#e8f0fe", "end": "#e6f4ea", "process": "#fef7e0", "store": "#f1f3f4"}
_STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#202124;text-anchor:middle}.name{font-weight:600}.small{font-size:11px}"
    ".arrow{fill:none;stroke:#5f6368;stroke-width:1.5}.beside{stroke:#fff;stroke-width:7;paint-order:stroke;font-size:12px}"
)

Point = tuple[float, float]


def centre(box: dict[str, Any]) -> Point:
    column, row = box["at"]
    return MARGIN + WIDTH / 2 + column * COLUMN, MARGIN + HEIGHT / 2 + row * ROW


def border(middle: Point, towards: Point) -> Point:
    """Where the line from a box's middle crosses its border."""
    dx, dy = towards[0] - middle[0], towards[1] - middle[1]
    scale = min(
        (WIDTH / 2 + 3) / abs(dx) if dx else math.inf,
        (HEIGHT / 2 + 3) / abs(dy) if dy else math.inf,
    )
    return middle[0] + dx * scale, middle[1] + dy * scale


def draw_box(box: dict[str, Any]) -> str:
    x, y = centre(box)
    lines = box.get("text", "").splitlines()
    top = y - 7 * len(lines) + 5
    parts = [
        f'<rect x="{x - WIDTH / 2:g}" y="{y - HEIGHT / 2:g}" width="{WIDTH}" height="{HEIGHT}" rx="8" '
        f'fill="{_FILL[box.get("kind", "state")]}" stroke="#5f6368"/>',
        f'<text class="name" x="{x:g}" y="{top:g}">{escape(box["name"])}</text>',
    ]
    parts += [
        f'<text class="small" x="{x:g}" y="{top + 15 * (number + 1):g}">{escape(line)}</text>'
        for number, line in enumerate(lines)
    ]
    return "".join(parts)


def draw_arrow(arrow: dict[str, Any], boxes: dict[str, dict[str, Any]]) -> str:
    """A curve from border to border, with its text at its middle."""
    begin, end = centre(boxes[arrow["from"]]), centre(boxes[arrow["to"]])
    length = math.dist(begin, end)
    bend = 2 * arrow.get("bend", 0)
    across = (-(end[1] - begin[1]) / length * bend, (end[0] - begin[0]) / length * bend)
    control = ((begin[0] + end[0]) / 2 + across[0], (begin[1] + end[1]) / 2 + across[1])
    start, stop = border(begin, control), border(end, control)
    path = f"M{start[0]:.1f} {start[1]:.1f}Q{control[0]:.1f} {control[1]:.1f} {stop[0]:.1f} {stop[1]:.1f}"
    x = (start[0] + 2 * control[0] + stop[0]) / 4
    lines = arrow.get("text", "").splitlines()
    y = (start[1] + 2 * control[1] + stop[1]) / 4 - 7 * (len(lines) - 1) + 4
    texts = [
        f'<text class="beside" x="{x:.1f}" y="{y + 14 * number:.1f}">{escape(line)}</text>'
        for number, line in enumerate(lines)
    ]
    return f'<path class="arrow" marker-end="url(#tip)" d="{path}"/>' + "".join(texts)


def draw(source: dict[str, Any]) -> str:
    """The picture as SVG, on a white ground so that it can be read on a dark page as well."""
    boxes = {box["name"]: box for box in source["box"]}
    width = 2 * MARGIN + WIDTH + COLUMN * max(box["at"][0] for box in source["box"])
    height = 2 * MARGIN + HEIGHT + ROW * max(box["at"][1] for box in source["box"])
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" role="img">',
        f"<title>{escape(source['title'])}</title><style>{_STYLE}</style>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0 0L8 4L0 8z" fill="#5f6368"/></marker></defs>',
        f'<rect width="{width:g}" height="{height:g}" rx="8" fill="#fff"/>',
        *(draw_box(box) for box in source["box"]),
        *(draw_arrow(arrow, boxes) for arrow in source["arrow"]),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def main() -> int:
    for path in sorted(CONCEPTS.glob("*.toml")):
        path.with_suffix(".svg").write_text(draw(tomllib.loads(path.read_text())))
        print(path.with_suffix(".svg").relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main())
