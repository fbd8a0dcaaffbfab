"""`python -m tests.fuzzing`: schemathesis, all checks, against what `make run` has started. Further words go to the tool."""

import asyncio
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from dotenv import dotenv_values

from infrastructure.local.wiring import outside_variables
from tests.fuzzing.warm_up import warm_up
from tests.product import ROOT

STACK = ROOT / ".local" / "stack.env"
# without API_TOKEN these doors are closed and say so with 503, which is no bug
CLOSED = ("--exclude-operation-id-regex", "^legacy(Publish|Status|Clear)")
CONFIG = Path(__file__).parent / "schemathesis.toml"
TOOL = Path(sys.executable).with_name("schemathesis")


async def run(address: str, told: Mapping[str, str], *more: str) -> int:
    """The tool's exit code; what it has to say goes to our output. A tool that is not there is an error."""
    warm = await warm_up(address, told)
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / CONFIG.name
        config.write_text(CONFIG.read_text() + warm.as_toml())
        words = [str(TOOL), "--config-file", str(config), "run", f"{address}/openapi.json", "--checks", "all", *more]
        words += () if told.get("API_TOKEN") else CLOSED
        child = await asyncio.create_subprocess_exec(
            *words, cwd=folder, env={**os.environ, **warm.variables, "PYTHONPATH": str(ROOT)}
        )
        return await child.wait()


def main(more: Sequence[str]) -> int:
    if not STACK.exists():
        print("Nothing runs here: start `make run` in another terminal first.", file=sys.stderr)
        return 1
    told = outside_variables(ROOT, os.environ) | {name: value for name, value in dotenv_values(STACK).items() if value}
    return asyncio.run(run(f"http://localhost:{told['PORT']}", told, *more))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
