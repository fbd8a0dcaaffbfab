"""A worker that writes down when it won which claim. The product is not changed and does not know.

`python -m tests.faults.claim_watch FILE` runs every worker of the product and appends a line per claim.
"""

import json
import sys
import time
from functools import wraps
from pathlib import Path
from typing import Any

from consumers import __main__ as consumers
from infrastructure.dynamo.deliveries import DeliveryStore, Won


def watch(file: Path) -> None:
    claim = DeliveryStore.claim

    @wraps(claim)
    async def watched(self: DeliveryStore, *args: Any) -> Any:
        found = await claim(self, *args)
        if isinstance(found, Won):
            line = {"delivery": found.delivery.delivery_id, "at": time.time()}
            with file.open("a", encoding="utf-8") as claims:
                claims.write(json.dumps(line) + "\n")
        return found

    DeliveryStore.claim = watched  # type: ignore[method-assign, assignment]


if __name__ == "__main__":
    watch(Path(sys.argv[1]))
    consumers.main("all")
