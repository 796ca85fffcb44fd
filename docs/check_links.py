"""Check that relative links in README and docs lead to a file, and their anchors to a heading."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from urllib.parse import unquote

ROOT = Path(__file__).resolve().parent.parent

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)")
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#{1,6}\s+(.+?)\s*$", re.MULTILINE)


def anchors(text: str) -> set[str]:
    """Return the anchors that headings get: lower case, punctuation dropped, spaces as hyphens."""
    headings = _HEADING.findall(_FENCE.sub("", text))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(page: Path) -> list[str]:
    """Return a line for each link of a page that leads nowhere."""
    problems = []
    for target in _LINK.findall(_FENCE.sub("", page.read_text("utf-8"))):
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / unquote(path)).resolve() if path else page
        where = f"{page.relative_to(ROOT)}: {target}"
        if not file.exists():
            problems.append(f"{where}: no such file")
        elif anchor and file.suffix == ".md" and unquote(anchor) not in anchors(file.read_text("utf-8")):
            problems.append(f"{where}: no such heading")
    return problems


def main() -> int:
    """Check all pages; return 1 when a link is broken."""
    pages = [
        *sorted(ROOT.glob("*.md")),
        *sorted((ROOT / "docs").rglob("*.md")),
        *sorted((ROOT / "maxcompute_local").rglob("*.md")),
    ]
    problems = [problem for page in pages for problem in broken_links(page)]
    sys.stdout.write("\n".join([*problems, f"{len(pages)} pages, {len(problems)} broken links"]) + "\n")
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
