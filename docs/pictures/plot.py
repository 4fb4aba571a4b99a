"""Draws the tables in ``docs/performance.md``; run it after one has changed."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from html import escape
from math import log
from pathlib import Path

PICTURES = Path(__file__).parent
PAGE = PICTURES.parent / "performance.md"
WIDTH, HEIGHT = 560, 260
LEFT, RIGHT, TOP, BOTTOM = 64, 400, 44, 216  # of the plot in the picture
STYLE = 'font-family="Helvetica, Arial, sans-serif" font-size="12" fill="#57606a"'
TITLE = 'font-size="13" font-weight="bold" fill="#24292f"'
COLOURS = ("#0969da", "#bc4c00", "#8250df", "#1a7f37")

Series = Mapping[str, Mapping[float, float]]


def rows(head: str) -> Iterator[list[str]]:
    """Yield the cells of the table whose first line begins with ``head``."""
    table = re.search(rf"^\| {re.escape(head)}.*\n((?:\|.*\n)+)", PAGE.read_text(), re.MULTILINE)
    assert table is not None
    yield from (
        [cell.strip() for cell in row.strip("|").split("|")]
        for row in table[0].splitlines()
        if "---" not in row
    )


def side_by_side(event: str) -> Series:
    """Return seconds by number of nodes, of both systems."""
    head, *found = rows("cluster_kit / libcluster; N =")
    [cells] = [cells for cells in found if cells[0] == event]
    series: dict[str, dict[float, float]] = {"cluster_kit": {}, "libcluster": {}}
    for count, cell in zip(head[1:], cells[1:], strict=True):
        for points, seconds in zip(series.values(), cell.split(" / "), strict=True):
            points[float(count)] = float(seconds)
    return series


def packets() -> Series:
    """Return packets a second by number of nodes, of each topology in a network that loses none."""
    found: dict[str, dict[float, float]] = defaultdict(dict)
    for topology, nodes, loss, _, _, sent, *_ in list(rows("topology | nodes | loss"))[1:]:
        if loss == "0%" and topology in {"full_mesh", "k_regular, k 4", "k_regular, k 8"}:
            found[topology][float(nodes)] = float(sent)
    return found


def scale(values: Iterable[float], low: float, high: float) -> tuple[float, float]:
    """Return offset and factor that bring the logarithms of ``values`` between two places."""
    least, most = log(min(values)), log(max(values))
    factor = (high - low) / (most - least)
    return low - least * factor, factor


def ticks(values: Iterable[float]) -> list[float]:
    """Return the powers of ten among the values, and those next to them."""
    powers = [10.0**power for power in range(-3, 5)]
    return [power for power in powers if min(values) <= power <= max(values)]


def draw(title: str, across: str, series: Series) -> str:
    """Return a picture with logarithmic axes."""
    x0, dx = scale({x for points in series.values() for x in points}, LEFT, RIGHT)
    heights = {y for points in series.values() for y in points.values()}
    y0, dy = scale(heights, BOTTOM, TOP + 8)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" {STYLE}>',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" rx="10" fill="#f6f8fa" stroke="#d0d7de"/>',
        f'<text x="{LEFT}" y="26" {TITLE}>{escape(title)}</text>',
        f'<text x="{(LEFT + RIGHT) / 2:.0f}" y="{HEIGHT - 8}" text-anchor="middle">{across}</text>',
    ]
    for y in ticks(heights):
        at = y0 + log(y) * dy
        parts.append(f'<path d="M{LEFT} {at:.0f}H{RIGHT}" stroke="#d0d7de"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{at + 4:.0f}" text-anchor="end">{y:g}</text>')
    for x in sorted({x for points in series.values() for x in points}):
        parts.append(
            f'<text x="{x0 + log(x) * dx:.0f}" y="{BOTTOM + 18}" text-anchor="middle">{x:g}</text>'
        )
    for colour, (name, points) in zip(COLOURS, series.items(), strict=False):
        places = [(x0 + log(x) * dx, y0 + log(y) * dy) for x, y in points.items()]
        line = " ".join(f"{x:.0f},{y:.0f}" for x, y in places)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.0f}" cy="{y:.0f}" r="3" fill="{colour}"/>' for x, y in places]
        x, y = places[-1]
        parts.append(
            f'<text x="{x + 10:.0f}" y="{y + 4:.0f}" fill="{colour}">{escape(name)}</text>'
        )
    return "\n".join([*parts, "</svg>", ""])


def pictures() -> dict[str, str]:
    """Return all pictures, by the names of their files."""
    formation = side_by_side("full mesh, from the last node's readiness")
    return {
        "formation.svg": draw(
            "Seconds from the last node's readiness to the full mesh", "nodes", formation
        ),
        "packets.svg": draw("Packets that each node sends in a second", "nodes", packets()),
    }


if __name__ == "__main__":
    for name, picture in pictures().items():
        (PICTURES / name).write_text(picture)
