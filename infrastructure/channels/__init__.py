"""Channels and their providers, plugged by a plain dictionary; of two providers the first one is preferred."""

from collections.abc import Iterable, Iterator

import httpx2

from infrastructure.channels.email import Relay, SmtpProvider
from infrastructure.channels.push_clients import PushClients, push_providers
from infrastructure.channels.slack import SlackWebhook
from infrastructure.channels.slack_bot import SlackBot
from infrastructure.ports import Provider
from infrastructure.settings import Settings

Providers = dict[str, tuple[Provider, ...]]


def by_channel(providers: Iterable[Provider]) -> Providers:
    """Two providers of one name fail at start."""
    plugged: dict[str, Provider] = {}
    for provider in providers:
        if provider.name in plugged:
            raise ValueError(f"two providers are named {provider.name}")
        plugged[provider.name] = provider
    channels = dict.fromkeys(provider.channel for provider in plugged.values())
    return {name: tuple(each for each in plugged.values() if each.channel == name) for name in channels}


def open_providers(settings: Settings, http: httpx2.AsyncClient, push: PushClients | None = None) -> Providers:
    """The providers of this deployment, channel by channel."""
    pushing = push_providers(settings, http, push) if push else ()
    return by_channel((*_mail(settings), *_slack(settings, http), *pushing))


def _mail(settings: Settings) -> Iterator[Provider]:
    relays = {
        "smtp": Relay(
            settings.smtp_host,
            settings.smtp_port,
            settings.smtp_username,
            settings.smtp_password,
            settings.smtp_starttls,
        ),
        "smtp_backup": Relay(
            settings.smtp_backup_host,
            settings.smtp_backup_port,
            settings.smtp_backup_username,
            settings.smtp_backup_password,
            settings.smtp_backup_starttls,
        ),
    }
    for name, relay in relays.items():
        if relay.host:
            yield SmtpProvider(name, relay, sender=settings.smtp_from, timeout_s=settings.provider_timeout_s)


def _slack(settings: Settings, http: httpx2.AsyncClient) -> Iterator[Provider]:
    targets = dict(settings.slack_targets)
    if settings.slack_webhook_url.get_secret_value():
        targets.setdefault("default", settings.slack_webhook_url)
    hooks = {name: value for name, value in targets.items() if _is_address(value.get_secret_value())}
    channels = {name: value.get_secret_value() for name, value in targets.items() if name not in hooks}
    if channels and settings.slack_bot_token.get_secret_value():
        yield SlackBot(http, settings.slack_api_url, settings.slack_bot_token, channels)
    yield SlackWebhook(http, hooks)


def _is_address(value: str) -> bool:
    return value.startswith(("https://", "http://"))
