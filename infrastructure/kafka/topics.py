"""Creates the Kafka topics of the registry and says which are missing. Existing ones stay as they are."""

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from infrastructure.kafka.connection import connection
from infrastructure.settings import Settings
from schemas import topics
from schemas.outcomes import Unavailable
from schemas.requests import CHANNELS


def wanted(settings: Settings) -> dict[str, topics.KafkaTopic]:
    """Every Kafka topic of the environments this deployment serves."""
    return {topic.name: topic for environment in settings.environments for topic in topics.registry(environment, CHANNELS)}


async def create_topics(settings: Settings) -> list[str]:
    """Creates what is missing and returns its names."""
    created = []
    admin = AIOKafkaAdminClient(**connection(settings))
    try:
        await admin.start()
        present = set(await admin.list_topics())
        new = [_new(topic, settings) for name, topic in wanted(settings).items() if name not in present]
        if new:
            answer = await admin.create_topics(new)
            for name, code, *_ in answer.topic_errors:
                _check(name, code)
                created.append(name)
    except KafkaError as error:
        raise Unavailable(f"Kafka at {settings.kafka_bootstrap_servers}: {error}") from error
    finally:
        await admin.close()
    return created


def _new(topic: topics.KafkaTopic, settings: Settings) -> NewTopic:
    return NewTopic(
        topic.name,
        settings.kafka_partitions,
        settings.kafka_replication_factor,
        topic_configs={
            "retention.ms": str(topic.retention_ms),
            # the broker's clock says when a record was accepted, not whatever a producer writes
            "message.timestamp.type": "LogAppendTime",
            "max.message.bytes": str(topic.max_message_bytes),
            "min.insync.replicas": str(max(1, settings.kafka_replication_factor - 1)),
        },
    )


def _check(name: str, code: int) -> None:
    error = for_code(code)
    if code and error is not TopicAlreadyExistsError:  # another process was quicker
        raise error(f"Kafka topic {name}")


async def missing_topics(settings: Settings) -> list[str]:
    """Names of the registry that the cluster does not have."""
    admin = AIOKafkaAdminClient(**connection(settings))
    try:
        await admin.start()
        present = set(await admin.list_topics())
    except KafkaError as error:
        raise Unavailable(f"Kafka at {settings.kafka_bootstrap_servers}: {error}") from error
    finally:
        await admin.close()
    return [name for name in wanted(settings) if name not in present]
