# SPDX-License-Identifier: BSD-3-Clause
"""Runs parts within the time, ends what does not fit with all that it started, and remembers in campaign.json."""
import datetime
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time

from . import place, table

FORMAT = 1
RESERVE = 3  # seconds kept for ending a part and writing tables
GRACE = 2  # seconds between asking a part to end and ending it
FINISHED = ("passed", "failed", "skipped")


class OutOfTime(Exception):
    pass


class Context:
    """What a part's steps are told."""

    def __init__(self, here, folder):
        self.here = here
        self.folder = folder

    def executable(self, name):
        return self.here.executable(name)

    def tool(self, name):
        return place.tool(name)

    def file(self, name):
        return self.folder / name


def identity(state):
    """What must be the same for results to stand in one table."""
    return {"commit": state["commit"], "executables": state["executables"], "device": state["device"],
            "GPU": state["machine"]["gpu"], "driver": state["machine"]["driver"], "LibTorch": state["machine"]["torch"]}


class Campaign:
    def __init__(self, here, folder, device, seconds):
        self.here = here
        self.folder = folder.resolve()
        self.device = device
        self.end = time.monotonic() + seconds
        self.state = self.load(here.fingerprint())

    def load(self, fingerprint):
        """What an earlier call left; refuses to mix results of different commits, executables or GPUs."""
        now = {"commit": self.here.commit, "executables": fingerprint, "device": self.device}
        now["machine"] = place.machine(self.device, self.here.torch_version())
        path = self.folder / "campaign.json"
        if not path.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / "logs").mkdir(exist_ok=True)
            return {"format": FORMAT, "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%MZ"),
                    **now, "parts": {}}
        try:
            state = json.loads(path.read_text(encoding="utf-8"))
            if state["format"] != FORMAT:
                raise ValueError(f"format {state['format']}, must be {FORMAT}")
            before = identity(state)
        except (ValueError, KeyError, TypeError) as error:
            raise place.Unusable(f"{path} is no campaign that can be gone on with ({error}); choose another --out"
                                 ) from error
        here = identity(now)
        for what, value in before.items():
            if value != here[what]:
                raise place.Unusable(f"{self.folder} holds a campaign of {what} {value}, here is {here[what]}; results "
                                     "of both do not mix: choose another --out")
        return state

    def save(self):
        table.write(self.folder / "campaign.json", json.dumps(self.state, indent=1) + "\n")
        table.write(self.folder / "campaign.md", table.campaign(self.state))

    def left(self):
        return self.end - time.monotonic() - RESERVE

    def run(self, parts):
        self.state["planned"] = {part.name: part.title for part in parts} | {
            name: title for name, title in self.state.get("planned", {}).items()}
        self.save()
        for part in parts:
            known = self.state["parts"].get(part.name, {})
            if known.get("status") in FINISHED:
                print(f"{'before':10} {part.name}: {known['status']}", flush=True)
                continue
            try:
                entry = self.run_part(part, known)
            except KeyboardInterrupt:
                self.remember(part, {"status": "unfinished", "reason": "interrupted"})
                break
            self.remember(part, entry)
        statuses = [self.state["parts"].get(part.name, {}).get("status") for part in parts]
        if "failed" in statuses:
            return 1
        return 0 if statuses and all(status == "passed" for status in statuses) else 3

    def remember(self, part, entry):
        self.state["parts"][part.name] = {"title": part.title, **entry}
        self.save()
        reason = f": {entry['reason']}" if entry.get("reason") else ""
        print(f"{entry['status']:10} {part.name}{reason}", flush=True)

    def run_part(self, part, known):
        for name in part.needs:
            if not self.here.executable(name).is_file():
                return {"status": "missing", "reason": f"no executable {name} in {self.here.root}"}
        for name in part.tools:
            if place.tool(name) is None:
                return {"status": "missing", "reason": f"{name} is not on this machine"}
        # A part that was ended once is begun again only with more time than it had.
        needed = max(part.least, known.get("seconds", 0) if known.get("status") == "unfinished" else 0)
        if self.left() < needed:
            carried = {"seconds": known["seconds"]} if "seconds" in known else {}
            left = max(0, self.left())
            return {"status": "unfinished", **carried,
                    "reason": f"not begun: needs {needed:.0f} s, {left:.0f} s are left"}
        return self.run_steps(part)

    def run_steps(self, part):
        context = Context(self.here, self.folder)
        began = time.monotonic()
        end = min(began + part.most, self.end - RESERVE)
        clocks = []
        log = self.folder / "logs" / f"{part.name}.log"
        status = 0
        with open(log, "wb") as output:
            try:
                for step in part.steps:
                    command = step(context)
                    if command is None:
                        continue
                    command = [str(word) for word in command]
                    output.write(("$ " + " ".join(command) + "\n").encode())
                    output.flush()
                    status = status or self.run_command(command, output, end, clocks)
            except OutOfTime:
                seconds = round(time.monotonic() - began, 1)
                slow = end < self.end - RESERVE
                return {"status": "failed" if slow else "unfinished", "seconds": seconds,
                        "reason": f"ended after {seconds:.0f} s, " + ("its limit" if slow else "at the time limit")}
            finally:
                shutil.rmtree(self.folder / "data", ignore_errors=True)  # made anew when it is needed
        entry = {"status": "passed", "seconds": round(time.monotonic() - began, 1), "log": f"logs/{part.name}.log"}
        if clocks:
            entry["sm_mhz"] = [min(clocks), max(clocks)]
        return {**entry, **self.judge(part, context, log, status)}

    @staticmethod
    def judge(part, context, log, status):
        text = log.read_text(encoding="utf-8", errors="replace")
        try:
            reading = part.read(text, context)
        except (OSError, ValueError, KeyError) as error:
            lines = text.strip().splitlines()
            last = lines[-1] if lines else ""
            return {"status": "failed", "reason": f"exit status {status}, no results ({error}); {last}"}
        found = {"status": reading.status, "results": reading.results}
        if reading.reason:
            found["reason"] = reading.reason
        if status != 0 and reading.status in ("passed", "skipped"):
            found.update(status="failed", reason=f"exit status {status}")
        return found

    def run_command(self, command, output, end, clocks):
        """Exit status; every process that the command started is gone when this returns or throws."""
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                   cwd=self.folder, env=self.here.environment(self.device), start_new_session=True)
        next_look = time.monotonic() + 1
        try:
            while True:
                try:
                    return process.wait(timeout=max(0.0, min(0.5, end - time.monotonic())))
                except subprocess.TimeoutExpired:
                    if time.monotonic() >= end:
                        raise OutOfTime from None
                if self.device == "cuda" and time.monotonic() > next_look:
                    next_look = time.monotonic() + 10
                    found = place.query(["clocks.sm"])
                    if found and found["clocks.sm"].isdigit():
                        clocks.append(int(found["clocks.sm"]))
        finally:
            end_group(process)


def living(group):
    """Whether a process of the group lives; one that has ended and that nobody has asked for does not."""
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, its_group = path.read_text().rpartition(")")[2].split()[:3]
        except (OSError, ValueError):
            continue  # ended meanwhile
        if int(its_group) == group and state != "Z":
            return True
    return False


def end_group(process):
    """The process has its group to itself: asks all of it to end, then ends it."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        until = time.monotonic() + GRACE
        if living(process.pid):
            os.killpg(process.pid, number)
        while living(process.pid) and time.monotonic() < until:
            time.sleep(0.02)
    process.poll()
