"""People who use the dashboard: with a mouse, with the keyboard alone, with a finger on a telephone."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.browser import ENTER, HOME, SPACE, TAB, Browser
from tests.e2e.conftest import RunningService
from tests.waiting import wait_for

PHONE_WIDTH = 360


def opened(browser: Browser, service: RunningService) -> Browser:
    """The dashboard, with nobody signed in."""
    browser.emulate(width=1200)
    browser.open(f"{service.address}/healthz")
    browser.run("sessionStorage.clear()")
    browser.open(f"{service.address}/")
    browser.console()
    return browser


def token(service: RunningService) -> str:
    return (service.data_dir / "admin-token").read_text().strip()


def sign_in(page: Browser, service: RunningService) -> None:
    page.type("#token", token(service) + ENTER)
    wait_for(lambda: page.text("main h1") == "Jobs", "the list of jobs")


def go(page: Browser, route: str, title: str) -> None:
    page.run("location.hash = arguments[0]", route)
    wait_for(lambda: title in page.text("main h1"), f"the view {route}")


def fits(page: Browser, width: int) -> bool:
    """Whether nobody has to scroll the page sideways."""
    return int(page.run("return document.documentElement.scrollWidth")) <= width


class Mouse:
    """A person with a mouse. `selector` and `text` are those of `Browser.click`."""

    name = "mouse"

    def __init__(self, page: Browser) -> None:
        self.page = page

    def begin(self) -> None:
        self.page.emulate(width=1200)

    def press(self, selector: str, text: str = "") -> None:
        self.page.click(selector, text)

    def tick(self, selector: str) -> None:
        self.press(selector)

    def write(self, selector: str, text: str) -> None:
        """Writes into a field, in the place of what is in it."""
        self.press(selector)
        self.page.press("a", control=True)
        self.page.press(*text)

    def choose(self, selector: str, option: str) -> None:
        self.page.click(f"{selector} option", option)

    def give(self, selector: str, path: Path) -> None:
        """Gives a file; the window to choose one is the system's, not the page's."""
        self.page.type(selector, str(path))

    def least(self, slider: str) -> None:
        """Moves a slider to its lower end."""
        self.press(slider)
        self.page.press(HOME)

    def look(self, title: str) -> None:
        """Waits for a view."""
        wait_for(lambda: title in self.page.text("main h1"), f"the view {title}")


class Keyboard(Mouse):
    """A person with the keyboard alone, who has to see where the focus is, and keep it when the page is drawn anew."""

    name = "keyboard"

    def reach(self, selector: str, text: str = "") -> None:
        focus = "const {tagName, textContent} = document.activeElement; return `${tagName} ${textContent.slice(0, 40)}`"
        assert not str(self.page.run(focus)).startswith("BODY"), f"the focus was lost before {selector} {text}"
        passed = []
        for _ in range(150):
            if self.page.has_focus(selector, text):
                return
            passed.append(self.page.run(focus))
            self.page.press(TAB)
        raise AssertionError(f"{selector} {text} is not reached with the Tab key, which came by {passed}")

    def press(self, selector: str, text: str = "") -> None:
        self.reach(selector, text)
        self.page.press(ENTER)

    def tick(self, selector: str) -> None:
        self.reach(selector)
        self.page.press(SPACE)

    def write(self, selector: str, text: str) -> None:
        self.reach(selector)
        self.page.press("a", control=True)
        self.page.press(*text)

    def choose(self, selector: str, option: str) -> None:
        self.reach(selector)
        self.page.press(*option)

    def give(self, selector: str, path: Path) -> None:
        self.reach(selector)
        super().give(selector, path)

    def least(self, slider: str) -> None:
        self.reach(slider)
        self.page.press(HOME)


class Finger(Mouse):
    """A person with a telephone."""

    name = "finger"

    def begin(self) -> None:
        self.page.emulate(width=PHONE_WIDTH, height=844, phone=True)

    def press(self, selector: str, text: str = "") -> None:
        self.page.tap(selector, text)

    def least(self, slider: str) -> None:
        self.page.tap(slider, left=True)

    def look(self, title: str) -> None:
        super().look(title)
        assert fits(self.page, PHONE_WIDTH), title
