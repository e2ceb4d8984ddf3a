#!/usr/bin/env python3
"""The documentation site, from README, docs/ and the code: static files that ask no other host. Called by
`scripts/docs`.

Pages are copied to a temporary folder with their links set right, the reference of routes and of the command line is
written beside them, and Sphinx makes HTML of it. Links to files that are no pages (source code) become plain text.
"""

from __future__ import annotations

import argparse
import posixpath
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scripts import guide_reference

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "app" / "web" / "guide"

#: Pages that stand beside docs/: file in the repository → page of the site.
OUTSIDE = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security-policy.md",
    "CHANGELOG.md": "changelog.md",
}
#: Sections of the navigation with their pages, in order; a folder stands for all its pages that are named nowhere.
SECTIONS = {
    "Tutorials": ["tutorials/penguins", "tutorials/text-sequences", "tutorials/old-repository", "tutorials/"],
    "How-to": ["how-to/", "releases", "moving-from-tf-estimator", "distributed-training", "kubernetes"],
    "Concepts": ["concepts/job", "concepts/prediction", "concepts/version", "concepts/", "architecture", "design"],
    "Reference": ["reference/api", "reference/command-line", "cli", "client", "jobs", "datasets", "settings",
                  "serving-protocols", "engine-api", "operations", "glossary", "reference/"],
    "Measured": ["engine-speed", "engine-size", "serving-speed", "load"],
    "More": ["faq", "changelog", "contributing", "security-policy", ""],
}  # fmt: skip

_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?P<image>!?)\[(?P<text>(?:[^\[\]]|\[[^\]]*\])*)\]\((?P<target>[^)\s]+)\)")

SPHINX = {
    "project": "Estimator Service",
    "html_title": "Estimator Service",
    "html_theme": "furo",
    "extensions": ["myst_parser"],
    "myst_heading_anchors": 4,
    "myst_enable_extensions": ["colon_fence"],
    "highlight_language": "text",
    "html_show_copyright": False,
    "html_show_sphinx": False,
    "html_copy_source": False,
    "html_use_index": False,
    "html_static_path": [],
    "html_theme_options": {"footer_icons": [], "source_edit_link": ""},
    "smartquotes": False,
}


class Site:
    """The pages, where they stand in the repository and in the site.

    Attributes:
        pages: path in the repository → path in the site, both relative, of every page.
    """

    def __init__(self, root: Path = ROOT) -> None:
        self.root = root
        self.pages = {name: page for name, page in OUTSIDE.items() if (root / name).exists()}
        for path in sorted((root / "docs").rglob("*.md")):
            name = path.relative_to(root).as_posix()
            self.pages[name] = name.removeprefix("docs/")

    def text(self, name: str) -> str:
        """A page's text for the site: its links lead to pages and pictures of the site, others are gone."""
        parts = []
        end = 0
        source = (self.root / name).read_text()
        for fence in _FENCE.finditer(source):
            parts += [self._linked(source[end : fence.start()], name), fence[0]]
            end = fence.end()
        return "".join([*parts, self._linked(source[end:], name)])

    def _linked(self, text: str, name: str) -> str:
        return _LINK.sub(lambda found: self._link(found, name), text)

    def _link(self, found: re.Match[str], name: str) -> str:
        target, hash_, anchor = found["target"].partition("#")
        if not target or re.match(r"[a-z]+:", target):
            return found[0]
        place = posixpath.normpath(posixpath.join(posixpath.dirname(name), target))
        inside = self.pages.get(place)
        if inside is None and place.startswith("docs/") and (self.root / place).is_file():
            inside = place.removeprefix("docs/")
        if inside is None:
            return found["text"]
        here = posixpath.dirname(self.pages[name])
        text = self._linked(found["text"], name) if "](" in found["text"] else found["text"]
        return f"{found['image']}[{text}]({posixpath.relpath(inside, here or '.')}{hash_}{anchor})"


def navigation(pages: set[str]) -> str:
    """The sections' `toctree`s; `pages` are names without their ending."""
    named = {entry for entries in SECTIONS.values() for entry in entries}
    parts = []
    for title, entries in SECTIONS.items():
        found: list[str] = []
        for entry in entries:
            if entry == "" or entry.endswith("/"):
                others = sorted(page for page in pages - named if posixpath.dirname(page) == entry.rstrip("/"))
                found += [page for page in others if page != "index"]
            elif entry in pages:
                found.append(entry)
        if found:
            parts.append(f"```{{toctree}}\n:caption: {title}\n:hidden:\n\n" + "\n".join(found) + "\n```\n")
    return "\n".join(parts)


def write_sources(folder: Path) -> None:
    """Everything that Sphinx reads."""
    site = Site()
    shutil.copytree(ROOT / "docs", folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.md"))
    texts = {page: site.text(name) for name, page in site.pages.items()}
    texts |= guide_reference.pages()
    texts["index.md"] += "\n" + navigation({page.removesuffix(".md") for page in texts})
    for page, text in texts.items():
        path = folder / page
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def build(target: Path) -> int:
    """Makes the site in `target`, which it replaces; returns how many warnings Sphinx gave."""
    from sphinx.application import Sphinx

    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        source, made = work / "source", work / "html"
        source.mkdir()
        write_sources(source)
        options: dict[str, Any] = {"confoverrides": SPHINX, "status": None, "freshenv": True}
        sphinx = Sphinx(source, None, made, work / "trees", "dirhtml", **options)
        sphinx.connect("html-page-context", _add_icon)
        sphinx.build()
        for unneeded in [*made.rglob("*.map"), made / ".buildinfo", made / "objects.inv"]:
            unneeded.unlink(missing_ok=True)
        shutil.rmtree(made / "_sources", ignore_errors=True)
        shutil.rmtree(target, ignore_errors=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(made, target)
        return int(sphinx._warncount)


def _add_icon(app: Any, page: str, template: str, context: dict[str, Any], tree: Any) -> None:
    icon = '<link rel="icon" href="/static/favicon.svg" type="image/svg+xml">'
    context["metatags"] = context.get("metatags", "") + icon


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/docs", description=__doc__)
    parser.add_argument("target", type=Path, nargs="?", default=TARGET, help="default: where the service serves it")
    target = parser.parse_args().target
    warnings = build(target)
    files = [path for path in target.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    print(f"{target}: {len(files)} files, {size / 1e6:.1f} MB. The service shows it at /guide/.")
    return 1 if warnings else 0


if __name__ == "__main__":
    sys.exit(main())
