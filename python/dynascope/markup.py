# SPDX-License-Identifier: BSD-3-Clause
"""HTML of a report's texts and tables. Every text goes through `safe`; what is HTML already is a Raw."""

from __future__ import annotations

import html
from typing import Any

import numpy

_MOST_LISTED = 500  # lines of a table; beyond it says how many more there are


class Raw:
    """HTML, among cells that are text."""

    def __init__(self, text: str) -> None:
        self.text = text


def safe(text: object) -> str:
    return html.escape("".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in str(text)))


def number(value: float) -> str:
    return f"{value:.4g}" if numpy.isfinite(value) else str(float(value))


def table(titles: list[str], lines: list[list[Any]], texts: int) -> str:
    """`texts`: so many columns on the left hold text; the others hold numbers."""
    def cell(tag: str, i: int, value: object) -> str:
        kind = ' class="number"' if i >= texts else ""
        return f"<{tag}{kind}>{value.text if isinstance(value, Raw) else safe(value)}</{tag}>"

    head = "".join(cell("th", i, title) for i, title in enumerate(titles))
    body = "".join("<tr>" + "".join(cell("td", i, value) for i, value in enumerate(line)) + "</tr>"
                   for line in lines[:_MOST_LISTED])
    more = f"<p>and {len(lines) - _MOST_LISTED:,} more in the file</p>" if len(lines) > _MOST_LISTED else ""
    return (f'<div class="card scroll"><table><thead><tr>{head}</tr></thead>'
            f"<tbody>{body}</tbody></table>{more}</div>")


def card(kind: str, title: str, text: str, size: str = "", layer: bool = False) -> str:
    """The place of a figure: drawn at once under its id, or, with `layer`, for the layer that is chosen."""
    name = f' data-figure="{kind}"' if layer else ""
    note = '<p class="note"></p>' if layer else ""
    plot = f'<div class="plot {size}"' + ("" if layer else f' id="{kind}"') + "></div>"
    return f'<div class="card"{name}><h3>{safe(title)}</h3><p>{safe(text)}</p>{note}{plot}</div>'
