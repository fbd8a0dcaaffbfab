"""Settings become aiokafka's parameters, and secrets go only where they are asked for."""

import ssl

from infrastructure.kafka.connection import connection
from infrastructure.settings import Settings


def some_settings(**changes: object) -> Settings:
    return Settings.model_validate({"deployment": "local", "kafka_security_protocol": "PLAINTEXT", **changes})


def test_a_plain_connection_needs_servers_and_a_name() -> None:
    assert connection(some_settings(kafka_bootstrap_servers="one:9092, two:9092", kafka_client_id="carillon")) == {
        "bootstrap_servers": ["one:9092", "two:9092"],
        "client_id": "carillon",
        "security_protocol": "PLAINTEXT",
    }


def test_an_encrypted_connection_checks_the_name_of_the_broker() -> None:
    context = connection(some_settings(kafka_security_protocol="SSL"))["ssl_context"]
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED


def test_a_password_travels_only_when_the_protocol_asks_for_one() -> None:
    secret = {"kafka_sasl_username": "carillon", "kafka_sasl_password": "hush", "kafka_sasl_mechanism": "SCRAM-SHA-512"}
    assert "hush" not in connection(some_settings(**secret)).values()
    parameters = connection(some_settings(**secret, kafka_security_protocol="SASL_SSL"))
    assert parameters["sasl_plain_password"] == "hush"
    assert parameters["sasl_mechanism"] == "SCRAM-SHA-512"
    assert "ssl_context" in parameters
