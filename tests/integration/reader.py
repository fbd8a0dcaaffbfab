"""Somebody who pastes what the pages print: into a shell, into files for Python and Node."""

import asyncio
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

PRINTED = "localhost:8000"
FILES = {"bash": "example.sh", "python": "example.py", "javascript": "example.mjs"}
PATIENCE_S = 60
# On machines without redis-cli: the part of it that the pages use, by the client library.
REDIS_CLI = f"""#!{sys.executable}
import sys
from redis import Redis

words = sys.argv[1:]
url = words.pop(1) if words[0] == "-u" else None
print(Redis.from_url(url).execute_command(*words[1:]).decode())
"""


@dataclass(frozen=True)
class Reader:
    folder: Path
    api: str
    variables: Mapping[str, str]

    async def run(self, language: str, text: str) -> str:
        """What the program prints; it has to succeed. Not a letter of it is changed: addresses are in the environment,
        and curl is told where the one that is printed leads."""
        file = self.folder / FILES[language]
        file.write_text(text, encoding="utf-8")
        (self.folder / ".curlrc").write_text(f'connect-to = "{PRINTED}:{urlsplit(self.api).netloc}"\n', encoding="utf-8")
        return await self._run(*self._interpreter(language), file)

    async def check_javascript(self, text: str) -> None:
        """Raises `AssertionError` for what Node cannot read; nothing of it is run."""
        file = self.folder / FILES["javascript"]
        file.write_text(text, encoding="utf-8")
        await self._run(*self._interpreter("javascript"), "--check", file)

    async def _run(self, *command: str | Path) -> str:
        child = await asyncio.create_subprocess_exec(
            *command,
            cwd=self.folder,
            env={**os.environ, **self.variables, "CURL_HOME": str(self.folder), "PATH": self._path()},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        said, complained = await asyncio.wait_for(child.communicate(), PATIENCE_S)
        assert child.returncode == 0, said.decode() + complained.decode()
        return said.decode()

    def _interpreter(self, language: str) -> list[str]:
        match language:
            case "bash":
                return ["bash", "-euo", "pipefail"]
            case "python":
                return [sys.executable, "-W", "error"]
            case _:
                node = shutil.which("node")
                assert node, "the pages' JavaScript is run by Node 18 or newer; install it"
                return [node]

    def _path(self) -> str:
        """The reader has installed Carillon and has redis-cli."""
        tools = self.folder / "bin"
        tools.mkdir(exist_ok=True)
        if shutil.which("redis-cli") is None:
            (tools / "redis-cli").write_text(REDIS_CLI, encoding="utf-8")
            (tools / "redis-cli").chmod(0o755)
        return os.pathsep.join((str(tools), str(Path(sys.executable).parent), os.environ["PATH"]))
