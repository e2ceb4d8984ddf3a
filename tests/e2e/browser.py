"""A headless Chromium, driven through `chromedriver` by plain HTTP (https://www.w3.org/TR/webdriver2/)."""

from __future__ import annotations

import base64
import functools
import shutil
import socket
import subprocess
import time
from collections.abc import Callable
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
SPACE = " "
HOME = "\ue011"
_CONTROL = "\ue009"
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
_MOVES = ("stale element", "no such element", "element click intercepted", "element not interactable")
"""What the driver says of an element while the page is drawn anew or grows: a person looks again and presses then."""
_PATIENCE_S = 60.0
#: the first visible element of a selector, with a text where one is given, that can be used now
_LOOK = """
const [selector, text] = arguments;
const visible = (e) => e.localName === "option" || e.getClientRects().length;
return [...document.querySelectorAll(selector)]
  .find((e) => visible(e) && !e.disabled && (text === "" || e.innerText?.trim() === text)) ?? null;
"""


def _patient(act: Callable[..., None]) -> Callable[..., None]:
    """What is done with an element is tried until it can be."""

    @functools.wraps(act)
    def tried(self: Browser, *args: Any, **options: Any) -> None:
        end = time.monotonic() + _PATIENCE_S
        while True:
            try:
                return act(self, *args, **options)
            except AssertionError as error:
                if not any(reason in str(error) for reason in _MOVES) or time.monotonic() > end:
                    raise
                time.sleep(0.05)

    return tried


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
        deadline = time.monotonic() + 240
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

    @_patient
    def click(self, selector: str, text: str = "") -> None:
        """Presses the first visible element of the selector, and of the text if one is given."""
        self._call(f"/element/{self._find(selector, text)}/click", {})

    @_patient
    def tap(self, selector: str, text: str = "", *, left: bool = False) -> None:
        """As `click`, with a finger; in the middle, or at the left end."""
        element = self._find(selector, text)
        reached = """
            const [element] = arguments;
            element.scrollIntoView({block: "center", inline: "nearest"});
            const {left, top, width, height} = element.getBoundingClientRect();
            const there = document.elementFromPoint(left + width / 2, top + height / 2);
            const label = [...(element.labels ?? [])].some((label) => label.contains(there));
            return element.contains(there) || label ? width : 0;
        """
        width = self.run(reached, {_ELEMENT: element})
        assert width, f"element click intercepted: {selector} {text}"
        x = 2 - int(width / 2) if left else 0
        to = {"type": "pointerMove", "duration": 0, "origin": {_ELEMENT: element}, "x": x, "y": 0}
        actions = [to, {"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}]
        finger = {"type": "pointer", "id": "finger", "parameters": {"pointerType": "touch"}, "actions": actions}
        self._call("/actions", {"actions": [finger]})

    @_patient
    def type(self, selector: str, text: str) -> None:
        """Types into a field, behind what is in it."""
        self._call(f"/element/{self._find(selector)}/value", {"text": text})

    def has_focus(self, selector: str, text: str = "") -> bool:
        """Whether it is the element that `click` would press that has the focus, where one can see it."""
        script = f"return (function () {{ {_LOOK} }})(...arguments)?.matches(':focus-visible') ?? false"
        return bool(self.run(script, selector, text))

    def press(self, *keys: str, control: bool = False) -> None:
        """Keys one after the other, sent to whatever has the focus."""
        strokes = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        if control:
            strokes = [{"type": "keyDown", "value": _CONTROL}, *strokes, {"type": "keyUp", "value": _CONTROL}]
        self._call("/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": strokes}]})

    def accept(self) -> None:
        """Says yes to a question of the page."""
        self._call("/alert/accept", {})

    def _find(self, selector: str, text: str = "") -> str:
        found = self.run(_LOOK, selector, text)
        assert found is not None, f"no such element: {selector} {text}"
        return str(found[_ELEMENT])

    def console(self) -> list[str]:
        """What the page wrote to its console, or the browser about the page, since the last call."""
        return [entry["message"] for entry in self._call("/se/log", {"type": "browser"})]

    def screenshot(self) -> bytes:
        """The window as it is now, as PNG."""
        return base64.b64decode(self._http.get(f"/session/{self._session}/screenshot").json()["value"])

    def emulate(self, *, width: int, height: int = 900, scheme: str = "light", phone: bool = False) -> None:
        """A window of that many CSS pixels, for somebody who prefers a colour scheme; that of a phone has no mouse."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": phone}
        self._devtools("Emulation.setDeviceMetricsOverride", size)
        self._devtools("Emulation.setTouchEmulationEnabled", {"enabled": phone})
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self._devtools("Emulation.setEmulatedMedia", {"features": features})

    def _devtools(self, command: str, parameters: dict[str, Any]) -> Any:
        return self._call("/goog/cdp/execute", {"cmd": command, "params": parameters})
