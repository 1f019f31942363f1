"""YAML from anybody: plain values alone, within bounds, so that no text can run code or fill the memory."""

from __future__ import annotations

from collections import Counter
from typing import Any

import yaml

MOST_BYTES = 1_000_000
"""Of a text: label names of a task with 10,000 classes take a fifth of it."""
MOST_VALUES = 30_000
"""Values in a text, each counted as often as an anchor repeats it; a task with 10,000 classes needs a third."""
LONGEST_NUMBER = 400
"""Letters of what is no text: to convert a longer one takes too long."""


TOO_MANY = f"more than {MOST_VALUES:,} values (anchors count as often as they are used)"


class _Loader(yaml.SafeLoader):
    """Stops where there are too many values, instead of reading on for a minute, and at a key that is there twice."""

    count = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Called for every value as it is met."""
        self.count += 1
        if self.count > MOST_VALUES:
            raise ValueError(TOO_MANY)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Called for every mapping; of a key that is there twice one value would be lost without a word."""
        keys = Counter((key.tag, key.value) for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        for (_, name), count in keys.most_common(1):
            if count > 1:
                raise ValueError(f"the key {name!r} is there twice")
        return super().construct_mapping(node, deep)


def read_yaml(text: str) -> Any:
    """The value of a YAML text, of mappings, lists and scalars alone; called for recipes, notes and options.

    Raises:
        ValueError: it is no YAML, asks for an object, is too large, or too deep; in words for an error text.
    """
    if len(text) > MOST_BYTES:
        raise ValueError(f"{len(text):,} characters, where {MOST_BYTES:,} are the most")
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        if _size(node, {}) > MOST_VALUES:
            raise ValueError(TOO_MANY)
        return loader.construct_document(node)
    except RecursionError as error:
        raise ValueError("values nested too deeply") from error
    except (yaml.YAMLError, LookupError, AttributeError) as error:
        # The last two, and ValueError, are what PyYAML makes of "!!bool x", "!!timestamp x" and 2026-13-45.
        raise ValueError(" ".join(str(error).split())[:300]) from error


def _size(node: yaml.Node, known: dict[int, int]) -> int:
    """Values under a node; what contains itself has no end."""
    if isinstance(node, yaml.ScalarNode):
        if len(node.value) > LONGEST_NUMBER and not node.tag.endswith(":str"):
            raise ValueError(f"a number or date of {len(node.value):,} letters")
        return 1
    if id(node) not in known:
        known[id(node)] = MOST_VALUES + 1  # while it is being counted: met again, it contains itself
        parts = node.value if isinstance(node, yaml.SequenceNode) else [part for pair in node.value for part in pair]
        known[id(node)] = 1 + sum(_size(part, known) for part in parts)
    return known[id(node)]
