"""How to reach the cluster: the one place where settings become aiokafka's connection parameters."""

import ssl
from typing import Any

from infrastructure.settings import Settings


def connection(settings: Settings) -> dict[str, Any]:
    """What every aiokafka client (producer, consumer, admin) is opened with; opens nothing itself."""
    parameters: dict[str, Any] = {
        "bootstrap_servers": [server.strip() for server in settings.kafka_bootstrap_servers.split(",") if server.strip()],
        "client_id": settings.kafka_client_id,
        "security_protocol": settings.kafka_security_protocol,
    }
    if settings.kafka_security_protocol.endswith("SSL"):
        parameters["ssl_context"] = _trust(settings.kafka_ssl_ca_location)
    if settings.kafka_security_protocol.startswith("SASL"):
        parameters["sasl_mechanism"] = settings.kafka_sasl_mechanism
        parameters["sasl_plain_username"] = settings.kafka_sasl_username
        parameters["sasl_plain_password"] = settings.kafka_sasl_password.get_secret_value()
    return parameters


def _trust(ca_location: str) -> ssl.SSLContext:
    """The system's authorities, or only the one named; host names are always checked."""
    return ssl.create_default_context(cafile=ca_location or None)
