"""Jinja2 for texts that others write: sandboxed, strict, and bounded in time and memory.

A sandboxed template can still ask for 10¹⁰ loops, or double a text forty times. So everything it repeats or makes is charged
to a budget of its own: loops, calls and filters cost steps, texts and lists their length. Whoever overdraws it is refused.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from functools import lru_cache, wraps
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateError, TemplateSyntaxError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

MAX_OUTPUT = 64 * 1024  # characters per part; a rendered item must fit a row of the inbox
MAX_STEPS = 100_000
MAX_MADE = 16 * MAX_OUTPUT
MAX_NUMBER = 2**53  # as in every other place where a number comes from outside

# What makes much out of little (padding, formatting, wrapping), is slow on purpose, or says something else each time.
_WITHOUT_FILTERS = {
    *("attr", "batch", "center", "format", "indent", "pprint", "random", "slice"),
    *("urlize", "wordwrap", "xmlattr"),
}
_WITHOUT_METHODS = {"center", "expandtabs", "format", "format_map", "ljust", "rjust", "zfill", "translate"}


WRONG = (
    *(TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError),
    *(RuntimeError, SyntaxError, MemoryError),  # nested deeper than Python follows
)
"""What a template may raise when it is compiled or filled."""


class Budget:
    """What one rendering may still do."""

    def __init__(self) -> None:
        self._steps, self._characters = MAX_STEPS, MAX_MADE

    def step(self, count: int = 1) -> None:
        self._steps -= count
        if self._steps < 0:
            raise TemplateError(f"more than {MAX_STEPS} steps")

    def characters(self, count: int) -> None:
        self._characters -= count
        if self._characters < 0:
            raise TemplateError(f"more than {MAX_MADE} characters in between")

    def weigh(self, value: Any) -> None:
        """Charges a value with all that is in it: what is shared counts each time, as it would when it is written out."""
        waiting = [value]
        while waiting:
            each = waiting.pop()
            if isinstance(each, str):
                self.characters(len(each))
            elif isinstance(each, Mapping):
                self.step(len(each))
                waiting.extend(each.values())
            elif isinstance(each, list | tuple):
                self.step(len(each))
                waiting.extend(each)


_budget: ContextVar[Budget] = ContextVar("budget")


def rendered(source: str, variables: Mapping[str, Any], *, is_html: bool) -> str:
    """Raises TemplateError, or what Python raises where values do not fit."""
    token = _budget.set(Budget())
    try:
        produced: list[str] = []
        size = 0
        for chunk in compiled(source, is_html=is_html).generate(variables):
            size += len(chunk)
            if size > MAX_OUTPUT:
                raise TemplateError(f"more than {MAX_OUTPUT} characters")
            produced.append(chunk)
        return "".join(produced)
    finally:
        _budget.reset(token)


@lru_cache(maxsize=1000)
def compiled(source: str, *, is_html: bool) -> Template:
    """Raises TemplateSyntaxError with the line."""
    environment = _html if is_html else _text
    tree = environment.parse(source)
    counting: nodes.Template = _Counting().visit(tree)
    counting.set_environment(environment)
    return Template.from_code(environment, environment.compile(counting), environment.make_globals(None))


def parsed(source: str) -> nodes.Template:
    """As it was written."""
    return _text.parse(source)


def known_globals() -> frozenset[str]:
    return frozenset(_text.globals)


class _Bounded(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"*", "**", "%"})

    def __init__(self, *, autoescape: bool) -> None:
        super().__init__(undefined=StrictUndefined, autoescape=autoescape, auto_reload=False, cache_size=0)
        self.globals = {"range": _range}
        found = {name: each for name, each in self.filters.items() if name not in _WITHOUT_FILTERS}
        found |= {"replace": _guarded_replace(found["replace"]), "join": _guarded_join(found["join"])}
        found["tojson"] = _plain_tojson(found["tojson"])
        self.filters = {name: _charged(each) for name, each in found.items()}
        self.filters |= {"_made": _made, "_steps": _steps}

    def wrap_str_format(self, value: Any) -> None:
        """`str.format` gets no way of its own around `is_safe_attribute`."""

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        return attr not in _WITHOUT_METHODS and super().is_safe_attribute(obj, attr, value)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if not (isinstance(left, int | float) and isinstance(right, int | float)) or abs(right) > MAX_OUTPUT:
            raise TemplateError(f"'{operator}' is for small numbers only")
        if operator == "**" and (abs(left) > MAX_OUTPUT or abs(right) > 64):
            raise TemplateError("'**' is for small numbers only")
        return _small(super().call_binop(context, operator, left, right))

    def call(self, context: Any, called: Any, *args: Any, **kwargs: Any) -> Any:  # pylint: disable=arguments-differ
        """Every call: methods, macros, `range`."""
        budget = _budget.get()
        budget.step()
        owner = getattr(called, "__self__", None)
        if isinstance(owner, str):
            budget.characters(len(owner))
            if getattr(called, "__name__", "") == "replace":
                _refuse_growth(owner, *args[:2], **kwargs)
            elif getattr(called, "__name__", "") == "join":
                args = (_joinable(owner, *args),)
        return _made(super().call(context, called, *args, **kwargs))


class _Counting(NodeTransformer):
    """Puts the charges where something is repeated or made."""

    def visit_For(self, node: nodes.For) -> nodes.For:  # noqa: N802 - jinja2 names it so  # pylint: disable=invalid-name
        if node.recursive:
            raise TemplateSyntaxError("a recursive loop may not end; write the levels out", node.lineno)
        static = sum(len(text.data) for text in _texts_in(node.body))
        self.generic_visit(node)
        node.iter = nodes.Filter(
            node.iter, "_steps", [nodes.Const(static, lineno=node.lineno)], [], None, None, lineno=node.lineno
        )
        return node

    def visit_Output(self, node: nodes.Output) -> nodes.Output:  # noqa: N802  # pylint: disable=invalid-name
        self.generic_visit(node)
        node.nodes = [each if isinstance(each, nodes.TemplateData) else _charge(each) for each in node.nodes]
        return node

    def visit_Tuple(self, node: nodes.Tuple) -> nodes.Expr:  # noqa: N802  # pylint: disable=invalid-name
        self.generic_visit(node)
        return _charge(node) if node.ctx == "load" else node

    def _and_charge(self, node: nodes.Expr) -> nodes.Expr:
        self.generic_visit(node)
        return _charge(node)

    visit_Add = visit_Concat = visit_List = visit_Dict = _and_charge  # noqa: N815


def _charge(node: nodes.Expr) -> nodes.Filter:
    return nodes.Filter(node, "_made", [], [], None, None, lineno=node.lineno)


def _texts_in(body: Iterable[nodes.Node]) -> Iterator[nodes.TemplateData]:
    """What a loop writes of itself each time; a loop within it is charged by itself."""
    for node in body:
        if isinstance(node, nodes.TemplateData):
            yield node
        elif not isinstance(node, nodes.For):
            yield from _texts_in(node.iter_child_nodes())


def _made(value: Any) -> Any:
    _budget.get().weigh(value)
    return value


def _steps(iterable: Iterable[Any], characters_each: int) -> Iterator[Any]:
    budget = _budget.get()
    for each in iterable:
        budget.step()
        budget.characters(characters_each)
        yield each


def _range(*args: int) -> range:
    found = range(*args)
    _budget.get().step(len(found))
    return found


def _charged(function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that charges what goes in and out. When Jinja2 folds constants there is no budget, so it folds none."""
    place = 1 if hasattr(function, "jinja_pass_arg") else 0

    @wraps(function)
    def charged(*args: Any, **kwargs: Any) -> Any:
        budget = _budget.get()
        budget.step()
        budget.weigh(args[place])
        return _made(function(*args, **kwargs))

    return charged


def _guarded_replace(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def replace(eval_ctx: Any, text: Any, old: Any, new: Any, count: int | None = None) -> Any:
        _refuse_growth(str(text), str(old), str(new))
        return function(eval_ctx, text, old, new, count)

    return replace


def _guarded_join(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def join(eval_ctx: Any, value: Any, d: Any = "", attribute: Any = None) -> Any:
        return function(eval_ctx, _joinable(str(d), value), d, attribute)

    return join


def _plain_tojson(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def tojson(eval_ctx: Any, value: Any) -> Any:
        return function(eval_ctx, value)

    return tojson


def _joinable(glue: str, values: Iterable[Any]) -> list[Any]:
    """What is to be joined, as a list that was paid for with the glue in between."""
    listed, budget = [], _budget.get()
    for each in values:
        budget.step()
        budget.characters(len(glue))
        budget.weigh(each)
        listed.append(each)
    return listed


def _refuse_growth(text: str, old: str = "", new: str = "", **_named: Any) -> None:
    times = text.count(old) if isinstance(old, str) else 0
    _budget.get().characters(len(text) + times * len(new))


def _small(number: Any) -> Any:
    if isinstance(number, int | float) and abs(number) > MAX_NUMBER:
        raise TemplateError(f"a number beyond {MAX_NUMBER}")
    return number


def reason_of(error: BaseException) -> str:
    if isinstance(error, RecursionError | MemoryError | SyntaxError):
        return "nested deeper than Python follows"
    said = getattr(error, "message", None) or str(error) or type(error).__name__
    return str(said).splitlines()[0]


def line_of(error: BaseException) -> int | None:
    """The template's own line: Jinja2 writes it into the traceback."""
    if isinstance(error, TemplateSyntaxError):
        return error.lineno
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename in ("<template>", "<unknown>"):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


_text = _Bounded(autoescape=False)
_html = _Bounded(autoescape=True)
