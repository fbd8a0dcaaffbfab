"""Runs a program and kills it when standard input closes: `lifeline.py program argument …`.

For systems without prctl(2). The other end of standard input is held open by whoever must not be outlived.
"""

import os
import select
import signal
import subprocess
import sys

CHECK_S = 0.1


def main(argv: list[str]) -> int:
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL) as child:
        signal.signal(signal.SIGTERM, lambda *_: child.terminate())
        while child.poll() is None:
            closed, _, _ = select.select([sys.stdin], [], [], CHECK_S)
            if closed and not os.read(sys.stdin.fileno(), 1):
                child.kill()
                break
        return child.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
