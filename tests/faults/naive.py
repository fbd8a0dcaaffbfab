"""For comparison: the consumer everybody writes first. At least once, without a ledger.

It reads a batch, sends it, sixteen at a time, and commits when all of it is out. What comes again after a death, a
rebalance or a failed commit, it sends again. `python -m tests.faults.naive TOPIC BATCH`.
"""

import asyncio
import json
import sys
from email.message import EmailMessage

import aiosmtplib
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from infrastructure.settings import Settings

AT_ONCE = 16


async def send(settings: Settings, value: bytes) -> None:
    """Until it is out: giving up would lose it."""
    event = json.loads(value)
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = settings.smtp_from, event["address"], event["run"]
    message["X-Carillon-Delivery"] = event["delivery"]
    message.set_content("As often as it takes.")
    while True:
        try:
            await aiosmtplib.send(message, hostname=settings.smtp_host, port=settings.smtp_port, start_tls=False)
        except (aiosmtplib.SMTPException, OSError):
            await asyncio.sleep(0.2)
        else:
            return


async def main(topic: str, batch: int) -> None:
    settings = Settings(_env_file=None)
    permits = asyncio.Semaphore(AT_ONCE)

    async def send_in_turn(value: bytes) -> None:
        async with permits:
            await send(settings, value)

    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=settings.kafka_bootstrap_servers,
        group_id=f"naive.{topic}",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        session_timeout_ms=int(settings.kafka_session_timeout_s * 1000),
    )
    await consumer.start()
    while True:
        batches = await consumer.getmany(timeout_ms=250, max_records=batch)
        await asyncio.gather(*(send_in_turn(record.value) for records in batches.values() for record in records))
        try:
            await consumer.commit()
        except KafkaError as error:
            print(f"not committed: {type(error).__name__}", flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
