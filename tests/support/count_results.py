# SPDX-License-Identifier: BSD-3-Clause
"""Counts the single cases of a test run and prints the reasons of the skipped ones; exits 1 if anything failed.

    count_results.py BUILD_FOLDER... -- STEP=passed|failed...

CTest knows one test per executable. Each of those leaves a JUnit file of its cases (NAME.xml beside ctest.junit in
test-results/), which is what is counted; a test without such a file, or one that failed although no case of it did (a crash,
a time-out), counts as one case.
"""

import collections
import pathlib
import sys
import xml.etree.ElementTree as ElementTree


def reason(case):
    """The skip's message: an attribute or the text of <skipped>, or for CTest's own skips the last line of the output."""
    skipped = case.find("skipped")
    output = (case.findtext("system-out") or "").strip()
    text = (skipped.get("message") if skipped is not None else "") or (skipped.text if skipped is not None else "") or ""
    if text.startswith("SKIP_") and output:
        return output.splitlines()[-1]
    lines = [line for line in text.strip().splitlines() if line and not line.startswith("/")]
    return lines[-1].strip() if lines else "no reason given"


def outcome(case):
    if case.find("failure") is not None or case.find("error") is not None or case.get("status") == "fail":
        return "failed"
    if case.find("skipped") is not None or case.get("status") in ("disabled", "notrun") or case.get("result") == "skipped":
        return "skipped"
    return "passed"


def cases_of(folder):
    """(name, outcome, reason) of every case that the CTest run in `folder` had."""
    for test in ElementTree.parse(folder / "ctest.junit").iter("testcase"):
        own = folder / (test.get("name") + ".xml")
        cases = []
        if own.exists():
            try:
                cases = list(ElementTree.parse(own).iter("testcase"))
            except ElementTree.ParseError:
                pass
        found = [(f'{test.get("name")}: {case.get("classname")}.{case.get("name")}', outcome(case), reason(case))
                 for case in cases]
        yield from found
        whole = outcome(test)
        if not found or (whole == "failed" and all(state != "failed" for _, state, _ in found)):
            yield test.get("name"), whole, reason(test)


def main(arguments):
    split = arguments.index("--")
    results = []
    for build in arguments[:split]:
        results += cases_of(pathlib.Path(build) / "test-results")
    results += [(*step.split("="), "") for step in arguments[split + 1:]]

    for name, state, _ in results:
        if state == "failed":
            print(f"failed   {name}")
    skips = collections.Counter((name.split(":")[0], why) for name, state, why in results if state == "skipped")
    for (name, why), count in skips.items():
        print(f"skipped  {count} of {name}: {why}")
    counts = collections.Counter(state for _, state, _ in results)
    print(f'{counts["passed"]} passed, {counts["failed"]} failed, {counts["skipped"]} skipped')
    return 1 if counts["failed"] or not counts["passed"] else 0


sys.exit(main(sys.argv[1:]))
