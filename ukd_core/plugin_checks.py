"""What a plug-in must be: its hooks, what they return, and the presets among it. Every message is worded here."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence, Set, ValuesView
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ukd_core.catalogue import Origin
from ukd_core.errors import DuplicateNameError, InputError, PluginLoadError
from ukd_core.hookspecs import GROUP
from ukd_core.spec import Options, nearest, read_options

if TYPE_CHECKING:
    import pluggy

    from ukd_core.method import Method, Phase
    from ukd_core.term import Term

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@dataclass(frozen=True)
class Kind:
    """One kind of thing that plug-ins offer."""

    attribute: str
    """Its place in the registry, and the end of its hook's name."""
    word: str
    """What messages call it."""
    home: str
    """Module of the contract; it is imported only when something is checked, because most of them need torch."""
    contract: str
    arguments: tuple[str, ...] = ()
    """What its constructor is called with; empty where it is made otherwise."""

    @property
    def hook(self) -> str:
        """The name of the hook."""
        return f"ukd_register_{self.attribute}"

    def load_contract(self) -> type:
        """Import the abstract class."""
        contract: type = getattr(import_module(f"ukd_core.{self.home}"), self.contract)
        return contract


KINDS = (
    Kind("layer_sources", "adapter", "layer_source", "LayerSource"),
    Kind("pseudo_heads", "pseudo head", "pseudo_head", "PseudoHead", ("width", "size")),
    Kind("projectors", "projector", "projector", "Projector", ("options", "setup")),
    Kind("terms", "term", "term", "Term", ("options", "setup")),
    Kind("output_spaces", "output space", "output_space", "OutputSpace", ("labels",)),
    Kind("methods", "method", "method", "Method"),
)
_BY_HOOK = {kind.hook: kind for kind in KINDS}


def find_hooks(manager: pluggy.PluginManager, origin: Origin, plugin: object) -> list[Kind]:
    """List the kinds that a plug-in offers; called before pluggy sees it, which accepts unknown hooks silently.

    Raises:
        PluginLoadError: a hook is misspelled, unmarked, takes arguments or wraps others; or there is none.
    """
    found = []
    for name in dir(plugin):
        function = getattr(plugin, name, None)
        marks = manager.parse_hookimpl_opts(plugin, name)
        if marks is None:
            _refuse_unmarked(origin, name, function)
        else:
            hook = marks.get("specname") or name
            if hook in _BY_HOOK:
                _check_hook(origin, hook, function, wraps=bool(marks.get("wrapper") or marks.get("hookwrapper")))
                found.append(_BY_HOOK[hook])
            elif not marks.get("optionalhook"):
                raise PluginLoadError(str(origin), f"no hook '{hook}'", nearest(hook, _BY_HOOK))
    if not found:
        raise PluginLoadError(str(origin), "expected at least one hook, got none",
                              "Mark a function with @hookimpl, for example ukd_register_projectors.")
    return [kind for kind in KINDS if kind in found]


def _refuse_unmarked(origin: Origin, name: str, function: object) -> None:
    if name.startswith("ukd_register_") and callable(function) and not hasattr(function, f"{GROUP}_spec"):
        raise PluginLoadError(str(origin), f"function '{name}' lacks the @hookimpl marker",
                              "Import it with `from ukd_core import hookimpl`.")


def _check_hook(origin: Origin, hook: str, function: Any, *, wraps: bool) -> None:
    if wraps:
        raise PluginLoadError(str(origin), f"hook '{hook}' expected to be a plain function, got a wrapper",
                              "Remove wrapper=True.")
    signature = inspect.signature(function)
    if signature.parameters:
        raise PluginLoadError(str(origin), f"hook '{hook}' expected to take no arguments, got {signature}")


def read_products(origin: Origin, kind: Kind, call: Callable[[], Sequence[Any]]) -> dict[str, Any]:
    """Call one hook of one plug-in and check what it offers.

    Args:
        origin: The plug-in, for messages.
        kind: What the hook is expected to return.
        call: Calls the hook; gives a list of results, without those that are None, as pluggy does.

    Returns:
        Each class (or preset) by its name.

    Raises:
        PluginLoadError: the hook fails, or returns something that cannot be used.
        DuplicateNameError: it offers two different things under one name.
    """
    try:
        results = call()
        result: Any = results[0] if results else None
        items = list(result) if _is_list(result) else None
    except (Exception, SystemExit) as error:
        raise PluginLoadError(str(origin), f"hook '{kind.hook}' failed: {describe(error)}") from error
    if items is None:
        raise PluginLoadError(str(origin), f"hook '{kind.hook}' expected to return a list, got {result!r}")
    products: dict[str, Any] = {}
    for item in items:
        _check_method_type(origin, kind, item) if kind.attribute == "methods" else _check_class(origin, kind, item)
        _check_name(origin, kind, item)
        if products.setdefault(item.name, item) is not item:
            raise DuplicateNameError(str(origin), f"two {kind.word}s have the name '{item.name}': "
                                                  f"{path_of(products[item.name])} and {path_of(item)}",
                                     "Rename one of them.")
    return products


def _is_list(result: object) -> bool:
    # A single Method would pass for iterable: a pydantic model iterates over its fields.
    return isinstance(result, (Sequence, Set, Iterator, ValuesView)) and not isinstance(result, (str, bytes))


def _check_method_type(origin: Origin, kind: Kind, item: object) -> None:
    if not isinstance(item, kind.load_contract()):
        raise PluginLoadError(str(origin), f"hook '{kind.hook}' expected instances of {kind.contract}, got {item!r}")


def _check_class(origin: Origin, kind: Kind, item: object) -> None:
    contract = kind.load_contract()
    if not isinstance(item, type):
        hint = f"Return {type(item).__name__}, not {type(item).__name__}()." if isinstance(item, contract) else ""
        raise PluginLoadError(str(origin), f"hook '{kind.hook}' expected subclasses of {kind.contract}, "
                                           f"got {_short(item)}", hint)
    if not issubclass(item, contract):
        raise PluginLoadError(str(origin), f"hook '{kind.hook}' expected subclasses of {kind.contract}, "
                                           f"got the class {path_of(item)}")
    missing = ", ".join(sorted(getattr(item, "__abstractmethods__", ())))
    if missing:
        raise PluginLoadError(str(origin), f"{kind.word} {path_of(item)} is abstract", f"Write: {missing}.")
    _check_attributes(origin, kind, contract, item)
    _check_constructor(origin, kind, item)


def _check_attributes(origin: Origin, kind: Kind, contract: type, item: type) -> None:
    where = f"{kind.word} {path_of(item)}"
    for name, annotation in inspect.get_annotations(contract).items():
        if str(annotation).startswith("ClassVar") and not hasattr(item, name):
            raise PluginLoadError(str(origin), f"{where} expected the class attribute '{name}', got none")
    options = getattr(item, "Options", Options)
    if not (isinstance(options, type) and issubclass(options, Options)):
        raise PluginLoadError(str(origin), f"{where} expected Options to be a subclass of ukd_core.Options, "
                                           f"got {_short(options)}")
    types = getattr(item, "model_types", ())
    if not (isinstance(types, tuple) and all(isinstance(entry, str) for entry in types)):
        raise PluginLoadError(str(origin), f"{where} expected model_types to be a tuple of str, got {types!r}")


def _check_constructor(origin: Origin, kind: Kind, item: type) -> None:
    if not kind.arguments:
        return
    signature = inspect.signature(item)
    try:
        signature.bind(*kind.arguments)
    except TypeError as error:
        raise PluginLoadError(str(origin), f"{kind.word} {path_of(item)} expected a constructor that takes "
                                           f"({', '.join(kind.arguments)}), got {signature}") from error


def _check_name(origin: Origin, kind: Kind, item: Any) -> None:
    if not (isinstance(item.name, str) and _NAME.fullmatch(item.name)):
        raise PluginLoadError(str(origin), f"{kind.word} {path_of(item)} expected a name in kebab-case, "
                                           f"got {item.name!r}", "Write it like 'low-rank'.")


def check_method(origin: Origin, method: Method, terms: Mapping[str, type[Term]]) -> None:
    """Check a preset against the terms that are there; called when every plug-in is loaded.

    Args:
        origin: The plug-in that offers the method, for messages.
        method: The preset.
        terms: Every term on offer.

    Raises:
        PluginLoadError: the shares do not sum to 1, a term is unknown, or a term refuses its options.
    """
    total = math.fsum(phase.share for phase in method.phases)
    if not math.isclose(total, 1.0, abs_tol=1e-6):
        raise PluginLoadError(str(origin), f"method '{method.name}' expected phase shares that sum to 1, got {total:g}")
    for phase in method.phases:
        _check_phase(origin, f"method '{method.name}', phase '{phase.name}'", phase, terms)


def _check_phase(origin: Origin, where: str, phase: Phase, terms: Mapping[str, type[Term]]) -> None:
    for part in phase.terms:
        if part.term not in terms:
            raise PluginLoadError(str(origin), f"{where}: no term '{part.term}'", nearest(part.term, terms))
        try:
            read_options(terms[part.term].Options, part.options, f"term '{part.term}'")
        except InputError as error:
            raise PluginLoadError(str(origin), f"{where}: {error.where}: {error.problem}", error.remedy) from error


def path_of(item: object) -> str:
    """Name a class (or the class of an instance) with its module."""
    kind = item if isinstance(item, type) else type(item)
    return f"{kind.__module__}.{kind.__qualname__}"


def describe(error: BaseException) -> str:
    """An exception in a few words: its kind and text, without a full stop."""
    text = " ".join(str(error).split()).rstrip(".")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _short(item: object) -> str:
    return f"the class {path_of(item)}" if isinstance(item, type) else f"an instance of {path_of(item)}"
