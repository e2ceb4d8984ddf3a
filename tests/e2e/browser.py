"""A headless Chromium, driven through `chromedriver` by plain HTTP (https://www.w3.org/TR/webdriver2/)."""

from __future__ import annotations

import base64
import shutil
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from tests.tied import tied

DRIVER = shutil.which("chromedriver")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
MISSING = None if DRIVER and CHROMIUM else "needs Chromium and chromedriver on PATH"

ENTER = "\ue007"
TAB = "\ue004"
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the standard's name for a reference to an element
_OPTIONS = (
    "--headless",
    "--no-sandbox",  # it cannot start in most containers with it, and only our own pages are opened
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)


class Browser:
    """One window. Use as a context manager.

    Args:
        profile: an empty directory for the browser's own files.
    """

    def __init__(self, profile: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        assert DRIVER
        quiet = subprocess.DEVNULL
        self._driver = subprocess.Popen(tied([DRIVER, f"--port={port}"]), stdin=quiet, stdout=quiet, stderr=quiet)
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False)
        try:
            self._session = self._begin(profile)
        except BaseException:
            self._end()
            raise

    def _begin(self, profile: Path) -> str:
        deadline = time.monotonic() + 20
        while True:
            try:
                self._http.get("/status")
                break
            except httpx.TransportError:
                assert time.monotonic() < deadline, "chromedriver does not answer"
                time.sleep(0.05)
        options = {"binary": CHROMIUM, "args": [*_OPTIONS, f"--user-data-dir={profile}"]}
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        answer = self._http.post("/session", json={"capabilities": {"alwaysMatch": wanted}}).json()["value"]
        assert "sessionId" in answer, f"the browser did not start: {answer}"
        return str(answer["sessionId"])

    def _end(self) -> None:
        self._http.close()
        self._driver.terminate()
        self._driver.wait(20)

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            self._http.delete(f"/session/{self._session}")
        finally:
            self._end()

    def _call(self, path: str, body: dict[str, Any]) -> Any:
        value = self._http.post(f"/session/{self._session}{path}", json=body).json()["value"]
        assert not (isinstance(value, dict) and "error" in value), value
        return value

    def open(self, address: str) -> None:
        self._call("/url", {"url": address})

    def run(self, script: str, *args: Any) -> Any:
        """What the body of a JavaScript function returns."""
        return self._call("/execute/sync", {"script": script, "args": list(args)})

    def text(self, selector: str) -> str:
        """The text that is visible in the first such element; empty when there is none."""
        return str(self.run("return document.querySelector(arguments[0])?.innerText ?? ''", selector))

    def click(self, selector: str) -> None:
        self._call(f"/element/{self._find(selector)}/click", {})

    def type(self, selector: str, text: str) -> None:
        self._call(f"/element/{self._find(selector)}/value", {"text": text})

    def press(self, key: str) -> None:
        """One key, sent to whatever has the focus."""
        strokes = [{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]
        self._call("/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": strokes}]})

    def accept(self) -> None:
        """Says yes to a question of the page."""
        self._call("/alert/accept", {})

    def _find(self, selector: str) -> str:
        return str(self._call("/element", {"using": "css selector", "value": selector})[_ELEMENT])

    def console(self) -> list[str]:
        """What the page wrote to its console, or the browser about the page, since the last call."""
        return [entry["message"] for entry in self._call("/se/log", {"type": "browser"})]

    def screenshot(self) -> bytes:
        """The window as it is now, as PNG."""
        return base64.b64decode(self._http.get(f"/session/{self._session}/screenshot").json()["value"])

    def emulate(self, *, width: int, height: int = 900, scheme: str = "light") -> None:
        """A window of that many CSS pixels, for somebody who prefers a colour scheme."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._devtools("Emulation.setDeviceMetricsOverride", size)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self._devtools("Emulation.setEmulatedMedia", {"features": features})

    def _devtools(self, command: str, parameters: dict[str, Any]) -> Any:
        return self._call("/goog/cdp/execute", {"cmd": command, "params": parameters})
