#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Writes docs/cli.md: what the command line says of itself, verb by verb.

    cli_docs.py [--tool build/ci/bin/dynascope] [--check]      --check: status 1 where the file says something else
"""

import argparse
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "cli.md"
HEAD = """<!-- SPDX-License-Identifier: BSD-3-Clause -->
<!-- Made by scripts/cli_docs.py from the tool's own help. -->
# The command line

`dynascope VERB ...` reads run files without LibTorch: finished ones, those that training still writes, and what a killed process left
behind. Data goes to standard output, messages to standard error. `dynascope help VERB` prints what stands here;
`eval "$(dynascope completion)"` completes verbs, options and files in bash (an installed tool needs no such line).
"""


def said(tool, *arguments):
    return subprocess.run([tool, *arguments], check=True, capture_output=True, text=True, timeout=30).stdout


def page(tool):
    whole = said(tool, "--help")
    verbs = re.findall(r"^  ([a-z]+) ", whole.split("Subcommands:\n")[1], re.MULTILINE)
    parts = [HEAD, f"```\n{whole.strip()}\n```\n"]
    for verb in verbs:
        parts.append(f"## {verb}\n\n```\n{said(tool, verb, '--help').strip()}\n```\n")
    return "\n".join(parts)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tool", default=ROOT / "build" / "ci" / "bin" / "dynascope")
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    text = page(given.tool)
    if not given.check:
        PAGE.write_text(text, encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text:
        print("cli_docs: docs/cli.md is not what the tool says of itself; run scripts/cli_docs.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
