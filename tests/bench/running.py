from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

import httpx2
from prometheus_client.parser import text_string_to_metric_families

from infrastructure.resources import Resources


@dataclass(frozen=True)
class Running:
    """A running product and our own connections to its parts."""

    variables: Mapping[str, str]
    resources: Resources

    async def worker_counts(self, name: str, label: str) -> dict[str, float]:
        """The samples of one of the workers' counters, by the value of one label."""
        async with httpx2.AsyncClient() as http:
            text = (await http.get(f"http://127.0.0.1:{self.variables['WORKER_PORT']}/metrics")).text
        return {
            sample.labels[label]: sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name
        }


async def written(rows: AsyncIterator[dict[str, object]]) -> list[dict[str, object]]:
    """All of them, each printed as soon as it is known."""
    found = []
    async for row in rows:
        found.append(row)
        print("  ".join(f"{name}={value}" for name, value in row.items()), flush=True)
    return found
