"""MkDocs hook: pages out of the code and from elsewhere, links that work on a code host too."""

from __future__ import annotations

import logging
import posixpath
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

import operator_pages
import reference_pages
from signatures import ROOT, link_to

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

log = logging.getLogger("mkdocs.hooks.drivepipe")

ELSEWHERE = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
    "maxcompute_local/README.md": "local-cloud/index.md",
    "maxcompute_local/docs/local-cloud.md": "local-cloud/local-cloud.md",
    "maxcompute_local/docs/local-sql.md": "local-cloud/local-sql.md",
    "maxcompute_local/docs/UNSUPPORTED.md": "local-cloud/UNSUPPORTED.md",
    "maxcompute_local/docs/architecture.md": "local-cloud/architecture.md",
}
"""Files of the repository outside of ``docs`` that are pages of the site, and their places there."""

_CODE_OR_LINK = re.compile(r"^ *```.*?^ *```|`[^`\n]+`|\]\(([^)\s]+)\)", re.MULTILINE | re.DOTALL)
_OPERATOR_ROW = re.compile(r"^\| (.*?) \|", re.MULTILINE)
_OPERATOR = re.compile(r"`(\w+(?:Operator|Sensor))`")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the operators' pages where the navigation says ``Operators``."""
    pages: list[Any] = [f"{operator_pages.FOLDER}/index.md"]
    pages += [{name: operator_pages.address(name)} for name in operator_pages.OPERATORS]
    config.nav = [{"Operators": pages} if "Operators" in part else part for part in config.nav or ()]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not files of ``docs``."""
    from mkdocs.structure.files import File

    for what in operator_pages.undocumented():
        log.warning("%s has no text in its docstring", what)
    made = operator_pages.pages() | reference_pages.pages()
    made |= {place: (ROOT / source).read_text("utf-8") for source, place in ELSEWHERE.items()}
    for place, text in made.items():
        files.append(File.generated(config, place, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Let links lead to pages of the site, else to the file on its code host; name operators as links."""
    place = page.file.src_uri
    if not place.startswith(("operators/", "reference/")):
        markdown = _OPERATOR_ROW.sub(lambda row: f"| {_linked(row[1])} |", markdown)
    source = next((path for path, to in ELSEWHERE.items() if to == place), f"docs/{place}")
    return _CODE_OR_LINK.sub(
        lambda found: f"]({_target(found[1], source, place)})" if found[1] else found[0], markdown
    )


def _linked(cell: str) -> str:
    def link(found: re.Match[str]) -> str:
        if found[1] not in operator_pages.OPERATORS:
            return found[0]
        return f"[{found[0]}](site:{operator_pages.address(found[1])})"

    return _OPERATOR.sub(link, cell)


def _target(link: str, source: str, place: str) -> str:
    """Return where a link leads in the site; one that leads nowhere stays, and MkDocs refuses it."""
    here = posixpath.dirname(place)
    if link.startswith("site:"):
        return posixpath.relpath(link.removeprefix("site:"), here or ".")
    if re.match(r"[a-z][a-z0-9+.-]*:|#", link):
        return link
    path, hash_, anchor = link.partition("#")
    found = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
    if found in ELSEWHERE or found.startswith("docs/"):
        return (
            posixpath.relpath(ELSEWHERE.get(found, found.removeprefix("docs/")), here or ".") + hash_ + anchor
        )
    return link_to(found) if (ROOT / found).exists() else link


class _Loads(HTMLParser):
    """Collects what a page loads when it is read."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what this element makes a browser fetch."""
        values = dict(attrs)
        wanted = ["src", "srcset", "data", "poster"] + (["href"] if tag in ("link", "use", "image") else [])
        self.found += [str(values[name]) for name in wanted if values.get(name)]


def on_post_build(config: MkDocsConfig) -> None:
    """Refuse a site that asks another host for anything while it is read."""
    for file in sorted(Path(config.site_dir).rglob("*")):
        loads: list[str] = []
        if file.suffix == ".html":
            parser = _Loads()
            parser.feed(file.read_text("utf-8"))
            loads = parser.found
        elif file.suffix == ".css":
            loads = re.findall(r"(?:url\(|@import )[\"']?([^\"')]+)", file.read_text("utf-8"))
        for load in loads:
            if re.match(r"(?:[a-z]+:)?//", load):
                log.warning("%s loads %s from elsewhere", file.relative_to(config.site_dir), load)
