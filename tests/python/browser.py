# SPDX-License-Identifier: BSD-3-Clause
"""A headless Chromium, spoken to over its debugging pipe: no driver program, no port, no further package.

    with Browser() as browser:
        page = browser.open(path, width=1280, height=900)
        page.run("document.title")

The page remembers what it wrote to its console, what it threw, and every address that it asked for.
"""

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time

CHROMIUM = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, (
    "chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"))), None)


class Browser:
    def __enter__(self):
        self.profile = tempfile.TemporaryDirectory()
        to_read, self.to = os.pipe()
        self.back, to_write = os.pipe()
        # The browser reads file 3 and writes file 4.
        command = ('exec "$@" 3<&' + str(to_read) + " 4>&" + str(to_write))
        self.process = subprocess.Popen(
            ["bash", "-c", command, "bash", CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
             "--disable-dev-shm-usage", "--hide-scrollbars", "--remote-debugging-pipe",
             f"--user-data-dir={self.profile.name}", "about:blank"],
            pass_fds=(to_read, to_write), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        os.close(to_read)
        os.close(to_write)
        self.number = 0
        self.unread = b""
        self.pages = {}
        return self

    def __exit__(self, *error):
        try:
            self.ask("Browser.close")
            self.process.wait(20)
        except (OSError, AssertionError, subprocess.TimeoutExpired):
            self.process.kill()
            self.process.wait()
        os.close(self.to)
        os.close(self.back)
        self.profile.cleanup()

    def next_message(self, deadline):
        while b"\0" not in self.unread:
            ready, _, _ = select.select([self.back], [], [], max(0, deadline - time.monotonic()))
            assert ready, "the browser does not answer"
            part = os.read(self.back, 1 << 20)
            assert part, "the browser has ended"
            self.unread += part
        text, self.unread = self.unread.split(b"\0", 1)
        return json.loads(text)

    def ask(self, method, session=None, limit=60, **parameters):
        self.number += 1
        question = {"id": self.number, "method": method, "params": parameters, **({"sessionId": session} if session else {})}
        data = json.dumps(question).encode() + b"\0"
        while data:
            data = data[os.write(self.to, data):]
        deadline = time.monotonic() + limit
        while True:
            message = self.next_message(deadline)
            if message.get("id") == self.number:
                assert "error" not in message, f"{method}: {message['error']}"
                return message["result"]
            if message.get("sessionId") in self.pages:
                self.pages[message["sessionId"]].note(message["method"], message.get("params", {}))

    def open(self, path, width, height, phone=False):
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = self.pages[session] = Page(self, session, target)
        for domain in ("Runtime", "Log", "Network", "Page"):
            page.ask(f"{domain}.enable")
        page.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        page.ask("Page.navigate", url=f"file://{path}")
        page.wait("document.readyState === 'complete'")
        return page


class Page:
    def __init__(self, browser, session, target):
        self.browser, self.session, self.target = browser, session, target
        self.complaints, self.requests = [], []

    def ask(self, method, **parameters):
        return self.browser.ask(method, self.session, **parameters)

    def note(self, method, what):
        if method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(what["exceptionDetails"])[:500])
        elif method == "Runtime.consoleAPICalled" and what["type"] in ("error", "warning", "assert"):
            self.complaints.append(json.dumps(what["args"])[:500])
        elif method == "Log.entryAdded":
            self.complaints.append(json.dumps(what["entry"])[:500])
        elif method == "Network.requestWillBeSent":
            self.requests.append(what["request"]["url"])

    def run(self, expression):
        answer = self.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, json.dumps(answer["exceptionDetails"])[:800]
        return answer["result"].get("value")

    def wait(self, expression, limit=60):
        deadline = time.monotonic() + limit
        while not self.run(expression):
            assert time.monotonic() < deadline, f"after {limit} s not yet: {expression}"
            time.sleep(0.05)

    def screenshot(self, path, whole=True):
        more = {"captureBeyondViewport": True} if whole else {}
        if whole:
            size = self.ask("Page.getLayoutMetrics")["cssContentSize"]
            more["clip"] = {"x": 0, "y": 0, "width": size["width"], "height": min(size["height"], 12000), "scale": 1}
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(self.ask("Page.captureScreenshot", format="png", **more)["data"]))

    def close(self):
        self.browser.ask("Target.closeTarget", targetId=self.target)
        del self.browser.pages[self.session]
