"""Text that a user gave, before anything is done with it: whether it can be written, and as data from YAML."""

from __future__ import annotations

from collections import Counter
from typing import Any

MOST_LETTERS = 1000
"""Of a line that is told: a longer one has its middle left out."""


def one_line(text: str) -> str:
    """Text without line breaks, and not longer than somebody reads."""
    words = " ".join(text.split())
    if len(words) <= MOST_LETTERS:
        return words
    return f"{words[: MOST_LETTERS // 2]} […] {words[-MOST_LETTERS // 2:]}"


def is_plain(text: str) -> bool:
    """Whether text can be a file name and be written as UTF-8: no NUL, no half of a surrogate pair."""
    try:
        return b"\0" not in text.encode("utf-8")
    except UnicodeEncodeError:
        return False


def read_yaml(text: str) -> Any:
    """Data from YAML, as its safe loader reads it; a key that is there twice is refused, for one value would be lost.

    Raises:
        ValueError: it is not YAML, or has values that say to be of a kind that they are not; in one line.
    """
    import yaml

    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
            seen = Counter((key.tag, key.value) for key, _ in node.value if isinstance(key, yaml.ScalarNode))
            for (_, name), count in seen.most_common(1):
                if count > 1:
                    raise yaml.YAMLError(f"the key {name!r} is there twice")
            return super().construct_mapping(node, deep)

    try:
        loader = Loader(text)
        return loader.get_single_data()
    except RecursionError as error:
        raise ValueError("brackets within brackets, too many of them") from error
    except (yaml.YAMLError, ValueError, LookupError, AttributeError) as error:
        # The last three are what the constructors of PyYAML raise for 2026-13-45, "!!bool x" and "!!timestamp x".
        raise ValueError(one_line(str(error))) from error
