"""`python -m infrastructure.local run`, which bootstrap.py ends in."""

import sys
from pathlib import Path

from infrastructure.local.run import run

ROOT = Path(__file__).resolve().parents[2]


def main(arguments: list[str]) -> int:
    if arguments != ["run"]:
        print("usage: python -m infrastructure.local run", file=sys.stderr)
        return 2
    return run(ROOT)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
