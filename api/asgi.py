"""`uvicorn api.asgi:app --reload`: the application for whoever starts ASGI servers by hand, as the older services were.

Importing this reads the settings and connects to nothing. `python -m api` sets up the server as well.
"""

from api.main import create_app
from infrastructure.logs import configure_logs
from infrastructure.settings import Settings

_settings = Settings()
configure_logs(_settings)
app = create_app(_settings)
