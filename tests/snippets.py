"""Every fenced block of the README and of docs/: where it stands, in which language, and why it is not run if it is not.

A page joins by being there. What its blocks are is said by their language:

* `bash`, `python`, `javascript` are run as they are printed (tests/integration/test_snippets.py), a page in `html` is opened
  in a browser and its button pressed (tests/e2e/test_snippets.py);
* `json`, `yaml`, `toml`, `dotenv` are read, and of `sh` (commands of operators) every `carillon` could be typed as it stands
  (tests/unit/test_snippets.py);
* `js` is a piece of a page of one's own, which lacks the rest of it: it is JavaScript, and no more is known;
* `text` is for drawings; right after a block that is run, it is what that prints or what Ana's inbox says then.

A block that cannot be run has the reason in the line above it: `<!-- not run: it starts everything on this machine -->`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
RUN = frozenset({"bash", "python", "javascript", "html"})
READ = frozenset({"json", "yaml", "toml", "dotenv"})
TYPED, PIECE, TEXT = "sh", "js", "text"

_FENCE = re.compile(r"^ {0,3}(?P<marks>`{3,}|~{3,}) *(?P<language>[^\s`]*)[^`]*$")
_REASON = re.compile(r"^<!-- not run: (?P<reason>.{10,}) -->$")


@dataclass(frozen=True)
class Snippet:
    page: str
    section: int
    number: int
    line: int
    language: str
    text: str
    reason: str | None
    """Why it is not run."""
    shows: str | None = None
    """The block of text right after it: what it prints, or what Ana's inbox says then."""

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def name(self) -> str:
        """For the list of tests: `waiting-2-bash`."""
        return f"{Path(self.page).stem}-{self.number}-{self.language}"

    @property
    def is_run(self) -> bool:
        return self.language in RUN and self.reason is None


def snippets_of(page: Path) -> list[Snippet]:
    found = list(_snippets(page.relative_to(ROOT).as_posix(), page.read_text(encoding="utf-8")))
    return [
        replace(each, shows=after.text)
        if each.is_run and after and (after.section, after.language) == (each.section, TEXT)
        else each
        for each, after in zip_longest(found, found[1:])
    ]


def all_snippets() -> list[Snippet]:
    return [snippet for page in PAGES for snippet in snippets_of(page)]


def _snippets(page: str, text: str) -> Iterator[Snippet]:
    lines = text.splitlines()
    section, number, opened, start = 0, 0, None, 0
    for at, line in enumerate(lines):
        fence = _FENCE.match(line)
        if opened is None and line.startswith("#"):
            section += 1
        elif opened is None and fence:
            opened, start = fence, at
        elif opened and fence and not fence["language"] and fence["marks"].startswith(opened["marks"]):
            number += 1
            reason = _REASON.match(lines[start - 1]) if start else None
            body = "".join(f"{each}\n" for each in lines[start + 1 : at])
            yield Snippet(page, section, number, start + 1, opened["language"], body, reason and reason["reason"])
            opened = None
    if opened:
        raise ValueError(f"{page}:{start + 1}: a block that does not end")
