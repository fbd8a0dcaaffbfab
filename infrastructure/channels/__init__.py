"""Channels, plugged by a plain dictionary."""

from collections.abc import Iterable

import httpx2

from infrastructure.channels.email import EmailChannel
from infrastructure.channels.slack import SlackChannel
from infrastructure.ports import Channel
from infrastructure.settings import Settings


def by_name(channels: Iterable[Channel]) -> dict[str, Channel]:
    """Two channels of one name fail at start."""
    plugged: dict[str, Channel] = {}
    for channel in channels:
        if channel.name in plugged:
            raise ValueError(f"two channels are named {channel.name}")
        plugged[channel.name] = channel
    return plugged


def open_channels(settings: Settings, http: httpx2.AsyncClient) -> dict[str, Channel]:
    """The external channels of this deployment."""
    targets = dict(settings.slack_targets)
    if settings.slack_webhook_url.get_secret_value():
        targets.setdefault("default", settings.slack_webhook_url)
    return by_name([EmailChannel(settings), SlackChannel(http, targets)])
