from collections.abc import Mapping
from pathlib import Path


async def after_ready(variables: Mapping[str, str], elsewhere_notes: list[str], logs: Path) -> None:
    """Called once when everything answers: where to look, and one command that delivers a notification."""
    site = f"http://localhost:{variables['PORT']}"
    print(
        "\n".join(
            (
                "",
                "Carillon is ready.",
                "",
                f"  playground  {site}/",
                f"  operators   {site}/ops",
                f"  providers   {variables['SANDBOX_URL']}/",
                f"  API docs    {site}/docs",
                f"  logs        {logs}/",
                *(f"  {note}" for note in elsewhere_notes),
                "",
                "Press Ctrl-C to stop. Each delivery appears here as a line:",
                "",
            )
        ),
        flush=True,
    )
