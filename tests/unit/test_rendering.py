"""Texts from templates: strict, sandboxed, bounded; what comes in variables stays text."""

from typing import Any

import pytest

from infrastructure.rendering import MAX_OUTPUT, CannotRender, plain, render
from schemas.requests import Message
from schemas.templates import Template

# security.md S24: each of these is harmless as a variable and refused, or only text, as a template.
PAYLOADS = (
    "{{ 7*7 }}",
    "${7*7}",
    "<%= 7*7 %>",
    "#{7*7}",
    "{{ ''.__class__ }}",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ x.__init__.__globals__ }}",
    "{{ x|attr('__class__') }}",
    "{{ x['__class__'] }}",
    "{{ self.__init__ }}",
    "{{ self._TemplateReference__context }}",
    "{{ config }}",
    "{{ request.application }}",
    "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "{{ joiner.__init__ }}",
    "{{ namespace.__init__ }}",
    "{{ lipsum.__globals__ }}",
    "{{ lipsum(n=100000) }}",
    "{{ range(10**9) | list }}",
    "{{ range(10**9) | length }}",
    "{{ 'a' * 10**9 }}",
    "{{ [1] * 10**9 }}",
    "{{ 9**9**9 }}",
    "{{ '%999999999d' % 1 }}",
    "{{ '{:>999999999}'.format(1) }}",
    "{{ '{0.__class__}'.format(x) }}",
    "{{ '{a.__class__}'.format_map({'a': x}) }}",
    "{{ 'a' | center(999999999) }}",
    "{{ 'a'.center(999999999) }}",
    "{{ 'a'.ljust(999999999) }}",
    "{{ '1'.zfill(999999999) }}",
    "{{ '\t'.expandtabs(999999999) }}",
    "{{ 'a' | indent(999999999) }}",
    "{{ '%s' | format(x) }}",
    "{{ [] | batch(999999999, 'x') | list }}",
    "{{ [].append(1) }}",
    "{{ {}.update({}) }}",
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}",
    "{% extends 'x' %}",
    "{{ (1).__class__.__base__ }}",
    "{{ x.mro() }}",
    "{{ dict.__base__ }}",
    "{{ url_for.__globals__ }}",
    "{{ get_flashed_messages.__globals__ }}",
    "{{ ().__class__.__bases__[0] }}",
    "{{ ''['\\x5f\\x5fclass\\x5f\\x5f'] }}",
    "{{ x|map(attribute='__class__')|list }}",
    "{% for c in [].__class__.__base__.__subclasses__() %}{{ c }}{% endfor %}",
    "{% set x = ''.__class__ %}{{ x }}",
    "{{ loop.__init__ }}",
)
TEXT_ONLY = {"${7*7}", "<%= 7*7 %>", "#{7*7}", "{{ 7*7 }}"}


def body_of(source: str, **variables: Any) -> str:
    return render(Template(name="t", body=source), variables).body


def test_every_part_is_filled_with_the_same_variables() -> None:
    template = Template(name="t", title="Order {{ n }}", body="{{ n }} left", html="<b>{{ n }}</b>", url="/orders/{{ n }}")
    content = render(template, {"n": 42})
    assert (content.title, content.body, content.html, content.url) == ("Order 42", "42 left", "<b>42</b>", "/orders/42")


def test_a_plain_message_is_taken_as_it_is() -> None:
    content = plain(Message(title="{{ t }}", body="{{ 7*7 }}", url="/x"))
    assert (content.title, content.body, content.url, content.html) == ("{{ t }}", "{{ 7*7 }}", "/x", None)


def test_a_missing_variable_is_an_error_that_names_template_part_and_variable() -> None:
    with pytest.raises(CannotRender, match=r"t@1, body.*'name' is undefined"):
        body_of("Hello {{ name }}")


def test_only_html_is_escaped() -> None:
    content = render(Template(name="t", body="{{ x }}", html="<p>{{ x }}</p>"), {"x": "<script>&'\""})
    assert content.body == "<script>&'\""
    assert content.html == "<p>&lt;script&gt;&amp;&#39;&#34;</p>"


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_payload_in_a_variable_stays_text(payload: str) -> None:
    assert body_of("Hello {{ name }}", name=payload) == f"Hello {payload}"
    assert body_of("{{ name }}", **{"name": {"deep": [payload]}}) == str({"deep": [payload]})


@pytest.mark.parametrize("payload", [payload for payload in PAYLOADS if payload not in TEXT_ONLY])
def test_a_payload_as_a_template_gets_nowhere(payload: str) -> None:
    try:
        found = body_of(payload, x=1)
    except CannotRender:
        return
    assert not any(sign in found for sign in ("class", "built-in", "module", "function", "root:")), found
    assert len(found) < 1000


def test_arithmetic_on_small_numbers_works() -> None:
    assert body_of("{{ n * 3 }} {{ n ** 2 }} {{ n % 2 }}", n=7) == "21 49 1"


def test_the_usual_filters_work() -> None:
    assert body_of("{{ x | default('a') | upper }}{{ y | urlencode }}{{ [1, 2] | join(',') }}", y="a b") == "Aa%20b1,2"


def test_what_is_produced_has_a_ceiling() -> None:
    source = "{% for n in range(x) %}0123456789{% endfor %}"
    assert len(body_of(source, x=1000)) == 10_000
    with pytest.raises(CannotRender, match=str(MAX_OUTPUT)):
        body_of(source, x=MAX_OUTPUT // 10 + 1)


@pytest.mark.parametrize("source", ["{{ x.y.z }}", "{{ x['k'] }}", "{{ x / 0 }}", "{{ x() }}", "{{ x | int + 'a' }}"])
def test_whatever_does_not_fit_is_said_in_one_kind_of_error(source: str) -> None:
    with pytest.raises(CannotRender, match="template t@1, body"):
        body_of(source, x=1)


def test_a_variable_named_like_a_builtin_or_self_does_no_harm() -> None:
    assert body_of("{{ range }}", range="mine") == "mine"
    assert body_of("hi", **{"self": "a", "context": "b", "environment": "c"}) == "hi"
