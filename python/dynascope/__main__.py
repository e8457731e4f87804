# SPDX-License-Identifier: BSD-3-Clause
"""python -m dynascope RUN -o report.html: the report of a run as one page. `dynascope report` calls this."""

from __future__ import annotations

import argparse
import sys

from .error import Error
from .report import write


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser("dynascope-report", description="Write the report of a run as one HTML page.")
    parser.add_argument("run", metavar="RUN", help="run file")
    parser.add_argument("-o", "--output", required=True, metavar="FILE",
                        help="page to write or to replace; -: standard output")
    parser.add_argument("--by", choices=["epoch", "step"],
                        help="count time by epoch or step (default: epochs, where there are two or more)")
    options = parser.parse_args(arguments)
    try:
        write(options.run, options.output, options.by)
    except (Error, MemoryError) as error:
        text = str(error) or f"{options.run}: there is not enough memory to draw it"
        print("dynascope: " + "".join(c if c.isprintable() else " " for c in text), file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
