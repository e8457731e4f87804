# SPDX-License-Identifier: BSD-3-Clause
"""What the tool says of itself: help, docs/cli.md, completion in a real bash, and how fast it starts."""

import os
import pathlib
import re
import subprocess
import sys
import time

import pytest

CLI = os.environ["DYNASCOPE_CLI"]
ROOT = pathlib.Path(__file__).resolve().parents[2]


def run(*arguments):
    return subprocess.run([CLI, *arguments], capture_output=True, text=True, timeout=30)


VERBS = re.findall(r"^  ([a-z]+) ", run("--help").stdout.split("Subcommands:\n")[1], re.MULTILINE)


def test_every_verb_of_the_interface_is_there():
    assert {"info", "show", "watch", "export", "diff", "validate", "recover", "report"} <= set(VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_a_verb_is_its_help_and_has_an_example(verb):
    told = run("help", verb)
    assert told.returncode == 0 and told.stderr == ""
    assert told.stdout == run(verb, "--help").stdout
    example = told.stdout.split("Example:\n")[1]
    assert re.match(rf"  (eval \"\$\()?dynascope {verb}\b", example)


def test_help_alone_lists_the_verbs_and_of_no_verb_is_trouble():
    assert run("help").stdout == run("--help").stdout
    unknown = run("help", "conjure")
    assert unknown.returncode == 2 and unknown.stdout == "" and "no verb 'conjure'" in unknown.stderr


def test_docs_say_what_the_tool_says():
    checked = subprocess.run([sys.executable, ROOT / "scripts" / "cli_docs.py", "--check", "--tool", CLI],
                             capture_output=True, text=True, timeout=60)
    assert checked.returncode == 0, checked.stderr


def completed(line, folder):
    """What bash offers at the end of `line`."""
    words = line.split(" ")
    script = f"""
{run("completion").stdout}
COMP_WORDS=({" ".join(f"'{word}'" for word in words)}) COMP_CWORD={len(words) - 1} COMPREPLY=()
_dynascope && printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(["bash", "--norc", "-euc", script], capture_output=True, text=True, timeout=30, cwd=folder)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize("line, offered", [
    ("dynascope va", ["validate"]),
    ("dynascope export --fo", ["--format"]),
    ("dynascope export run.h5 --format n", ["npy"]),
    ("dynascope --color ", ["auto", "always", "never"]),
    ("dynascope help rec", ["recover"]),
    ("dynascope info run", []),  # files, by bash itself
])
def test_bash_completes(line, offered, tmp_path):
    assert completed(line, tmp_path) == offered


def test_bash_offers_all_verbs_first(tmp_path):
    assert set(VERBS) <= set(completed("dynascope ", tmp_path))


def test_starts_within_30_milliseconds():
    def once():
        begun = time.perf_counter()
        run("--version")
        return time.perf_counter() - begun

    # The quickest of many: the others waited for the processor.
    assert min(once() for _ in range(30)) < 0.030
