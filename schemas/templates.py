"""Templates: texts in Jinja2, common ones and those of a locale or a channel. Which of them somebody gets. Pure."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from schemas.base import Value
from schemas.locales import Locale, looked_for
from schemas.requests import Channel, Slug

TemplateText = Annotated[str, StringConstraints(max_length=40_000)]
Part = Literal["title", "body", "html", "url"]
PARTS: tuple[Part, ...] = ("title", "body", "html", "url")
MAX_LOCALES = 50


class Texts(Value):
    """Texts that stand over the common ones; what is not said is taken from below."""

    title: TemplateText | None = None
    body: TemplateText | None = None
    html: TemplateText | None = None
    url: TemplateText | None = None


class LocalTexts(Texts):
    """The texts of one locale; on a channel that needs other ones, those."""

    channels: dict[Channel, Texts] = Field(default_factory=dict)


class TemplateTerms(Value):
    """A template without its name. `html` is for e-mail only and is escaped where the others are not."""

    title: TemplateText = ""
    body: TemplateText
    html: TemplateText | None = None
    url: TemplateText | None = None
    channels: dict[Channel, Texts] = Field(default_factory=dict)
    locales: dict[Locale, LocalTexts] = Field(default_factory=dict, max_length=MAX_LOCALES)

    @property
    def has_locales(self) -> bool:
        return bool(self.locales)

    def chosen(self, locale: str | None, channel: Channel) -> Texts:
        """The texts for somebody: their locale, then its language, then the common ones; on each the channel's first.

        `html` comes with the body it belongs to, so that nobody is sent one language as text and another as HTML.
        """
        layers = tuple(self._layers(locale, channel))
        bodied = next(layer for layer in layers if layer.body is not None)
        return Texts(
            title=next((layer.title for layer in layers if layer.title is not None), ""),
            body=bodied.body,
            html=bodied.html,
            url=next((layer.url for layer in layers if layer.url is not None), None),
        )

    def _layers(self, locale: str | None, channel: Channel) -> Iterator[Texts]:
        for tag in looked_for(locale):
            if (local := self.locales.get(tag)) is not None:
                yield from _with_channel(local.channels, channel, local)
        yield from _with_channel(self.channels, channel, self._common)

    @property
    def _common(self) -> Texts:
        return Texts(title=self.title, body=self.body, html=self.html, url=self.url)

    def sources(self) -> Iterator[tuple[str, Part, str]]:
        """Every text there is: (JSON pointer, part, source)."""
        yield from _sources("", self._common)
        for channel, texts in self.channels.items():
            yield from _sources(f"/channels/{channel}", texts)
        for tag, local in self.locales.items():
            yield from _sources(f"/locales/{tag}", local)
            for channel, texts in local.channels.items():
                yield from _sources(f"/locales/{tag}/channels/{channel}", texts)


class Template(TemplateTerms):
    """A named version of it."""

    name: Slug
    version: int = Field(default=1, ge=1)

    @property
    def pinned(self) -> str:
        return f"{self.name}@{self.version}"


def _with_channel(channels: dict[Channel, Texts], channel: Channel, common: Texts) -> Iterator[Texts]:
    if channel in channels:
        yield channels[channel]
    yield common


def _sources(pointer: str, texts: Texts) -> Iterator[tuple[str, Part, str]]:
    for part in PARTS:
        source = getattr(texts, part)
        if source is not None:
            yield f"{pointer}/{part}", part, source
