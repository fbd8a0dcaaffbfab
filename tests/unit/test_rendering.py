"""Texts from templates: strict, sandboxed, bounded; what comes in variables stays text."""

import time
from typing import Any

import pytest

from infrastructure.rendering import CannotRender, plain, render
from infrastructure.sandbox import MAX_OUTPUT
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


def doubled(once: str, first: str = "{% set a = 'xxxxxxxxxx' %}") -> str:
    return first + once * 60 + "{{ a | length }}"


# Each would take minutes or gigabytes, and none calls anything that a template may not call.
HOGS = (
    "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "{% for a in many %}{% for b in many %}{% for c in many %}{% endfor %}{% endfor %}{% endfor %}",
    "{% for a in range(99999) %}" + "x" * 1000 + "{% endfor %}",
    "{% set b %}{% for a in range(9999) %}" + "x" * 10_000 + "{% endfor %}{% endset %}{{ b | length }}",
    "{% set b %}{% for a in range(9999) %}{{ big }}{% endfor %}{% endset %}{{ b | length }}",
    doubled("{% set a = a ~ a %}"),
    doubled("{% set a = a + a %}"),
    doubled("{% set a = a | replace('x', a) %}"),
    doubled("{% set a = a.replace('x', a) %}"),
    doubled("{% set a = a | list | join(a) %}"),
    doubled("{% set a = a.join(a) %}"),
    doubled("{% set a = [a, a] %}", "{% set a = [1] %}"),
    doubled("{% set a = (a, a) %}", "{% set a = (1,) %}"),
    doubled("{% set a = {'b': a, 'c': a} %}", "{% set a = {} %}"),
    "{{ many | map('replace', 'x', big) | list | length }}",
    "{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}",
    "{% for x in many recursive %}{{ loop(many) }}{% endfor %}",
    "{{ (9 ** 64) ** 64 }}",
    "{{ 65536 ** 65536 }}",
    "{{ many | tojson(indent=65536) }}",
    "{{ ([0] + many) | batch(2) | list }}",
    "{{ 'a' | wordwrap(1, wrapstring=big) }}",
    "{{ 'http://a.b ' | urlize(rel=big) }}",
)


@pytest.mark.parametrize("source", HOGS)
def test_a_template_that_would_take_for_ever_is_stopped_at_once(source: str) -> None:
    began = time.process_time()
    with pytest.raises(CannotRender):
        body_of(source, big="x" * 60_000, many=["x" * 100] * 1000)
    assert time.process_time() - began < 2


def test_an_honest_template_has_room() -> None:
    """A digest of five hundred lines, with conditions, filters and a macro."""
    source = (
        "{% macro row(i) %}{{ i.who | upper }}: {{ i.text | truncate(40) }}{% endmacro %}"
        "{% for i in items if i.who %}{{ loop.index }}/{{ loop.length }} {{ row(i) }}\n{% else %}nothing{% endfor %}"
    )
    items = [{"who": f"person {n}", "text": "some words " * 5} for n in range(500)]
    assert body_of(source, items=items).count("\n") == 500


def test_what_is_marked_as_safe_is_escaped_once_and_the_rest_once() -> None:
    html = "{{ x }}{{ '<i>' | safe }}{{ ['<', x] | join('&') }}{{ x ~ '<' }}{% for c in x %}{{ c }}{% endfor %}"
    found = render(Template(name="t", body="-", html=html), {"x": "<"}).html
    assert found == "&lt;<i>&lt;&amp;&lt;&lt;&lt;&lt;"


@pytest.mark.parametrize(
    ("source", "line"),
    [("a\n{{ x.y.z }}", 2), ("a\nb\n{{ nobody }}", 3), ("{% for i in [1] %}\n{{ i / 0 }}{% endfor %}", 2)],
)
def test_an_error_names_the_line_of_the_template(source: str, line: int) -> None:
    with pytest.raises(CannotRender, match=f"body, line {line}: ") as said:
        body_of(source, x=1)
    assert said.value.line == line


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
