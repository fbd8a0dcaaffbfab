"""How large a JSON value is, measured without recursion: the value may be somebody's attack."""

from typing import Any


def depth_of(value: Any) -> int:
    """1 for a plain value, one more for each list or object around it."""
    deepest, waiting = 0, [(value, 1)]
    while waiting:
        each, depth = waiting.pop()
        deepest = max(deepest, depth)
        waiting.extend((inner, depth + 1) for inner in _inside(each))
    return deepest


def nodes_in(value: Any) -> int:
    """How many values there are, containers and what is in them."""
    count, waiting = 0, [value]
    while waiting:
        count += 1
        waiting.extend(_inside(waiting.pop()))
    return count


def _inside(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return list(value) if isinstance(value, list | tuple) else []
