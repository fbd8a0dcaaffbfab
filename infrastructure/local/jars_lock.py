"""`make jars-lock`: asks Maven what jars/pom.xml means and writes jars.lock."""

import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from infrastructure.local.jars import LOCK, NATIVE, repository

POM = LOCK.with_name("pom.xml")
SECTIONS = ("kafka", "dynamodb")
# One line of dependency:list: group:artifact:extension:version:scope
RESOLVED = re.compile(r"^\s+([\w.-]+):([\w.-]+):(\w+):([\w.-]+):(?:compile|runtime)\b", re.MULTILINE)
HEADER = """\
# Made from pom.xml by `make jars-lock`: group:artifact:extension:version sha256 bytes.
# The two engines want different versions of the same libraries, so each has a classpath of its own.
"""


def resolve(section: str) -> list[str]:
    """The lock's lines for one engine, native libraries last."""
    with tempfile.TemporaryDirectory() as folder:
        listing = Path(folder) / "list"
        options = ["-DincludeScope=runtime", f"-DoutputFile={listing}", f"-Dmaven.repo.local={repository()}"]
        subprocess.run(["mvn", "-B", "-q", "-f", POM, "-P", section, "dependency:list", *options], check=True)
        found = sorted(set(RESOLVED.findall(listing.read_text())), key=lambda each: (each[2] != "jar", each))
    return [_line(*each) for each in found if each[2] == "jar" or each[1] in NATIVE.values()]


def _line(group: str, artifact: str, extension: str, version: str) -> str:
    file = repository().joinpath(*group.split("."), artifact, version) / f"{artifact}-{version}.{extension}"
    content = file.read_bytes()
    return f"{group}:{artifact}:{extension}:{version} {hashlib.sha256(content).hexdigest()} {len(content)}"


def main() -> int:
    if shutil.which("mvn") is None:
        print("Maven is missing: it is needed to renew jars.lock, for nothing else. Install it and start again.")
        return 1
    sections = [f"\n[{section}]\n" + "\n".join(resolve(section)) + "\n" for section in SECTIONS]
    LOCK.write_text(HEADER + "".join(sections))
    return 0


if __name__ == "__main__":
    sys.exit(main())
