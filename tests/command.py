"""The command line as a person runs it: a process of its own, its output and its exit code."""

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.product import ROOT


@dataclass(frozen=True)
class Ran:
    code: int
    output: str
    errors: str

    @property
    def document(self) -> Any:
        return json.loads(self.output)


async def started(variables: Mapping[str, str], *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "import sys; sys.argv[0] = 'carillon'; from api.cli.main import run; run()",
        *arguments,
        cwd=ROOT,
        env={**os.environ, **variables},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def ended(process: asyncio.subprocess.Process) -> Ran:
    output, errors = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return Ran(process.returncode, output.decode(), errors.decode())


async def carillon(variables: Mapping[str, str], *arguments: str) -> Ran:
    return await ended(await started(variables, *arguments))
