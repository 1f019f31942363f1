"""Plug-ins that are broken, one for each way of being so, with the line that names what is wrong."""

from __future__ import annotations

from fake_plugins import adapter, projector

MINE = projector("Mine", "mine")
METHOD = """
from ukd_core import Method, Phase, TermSpec, hookimpl

PRESET = Method(name="preset", summary="", source="", phases=(Phase(name="only", terms=(TermSpec(term="t"),)),))


@hookimpl
def ukd_register_methods():
    return {result}
"""
HEAD = """
from ukd_core import PseudoHead, hookimpl


class Head(PseudoHead):
    name = "head"

    def __init__(self, size):
        super().__init__(1, size)

    def forward(self, states):
        return states

    def absorb_standardisation(self, mean, deviation):
        pass


@hookimpl
def ukd_register_pseudo_heads():
    return [Head]
"""
SPACE = """
from ukd_core import OutputSpace, hookimpl


class Space(OutputSpace):
    name, shift_invariant, primary_metric = "space", True, "accuracy"
    label_names = encode = missing = is_labelled = label_loss = divergence = None
    predictions = describe = metrics = None


@hookimpl
def ukd_register_output_spaces():
    return [Space]
"""
TERM = """
from ukd_core import Term, hookimpl


class Sum(Term):
    name = "sum"

    def __init__(self, options):
        super().__init__(options, None)

    def forward(self, batch):
        return batch.labels.sum()


@hookimpl
def ukd_register_terms():
    return [Sum]
"""

BROKEN = {
    # Way of being broken: (source of the module, what the message says after the plug-in's name).
    "import fails": (
        "import no_such_library",
        "could not be imported: ModuleNotFoundError: No module named 'no_such_library'. "
        "Give an importable module or the path of a .py file."),
    "import exits": (
        "raise SystemExit(3)",
        "could not be imported: SystemExit: 3. Give an importable module or the path of a .py file."),
    "hook misspelled": (
        MINE.replace("ukd_register_projectors", "ukd_register_projector"),
        "no hook 'ukd_register_projector'. Did you mean 'ukd_register_projectors' or 'ukd_register_methods' or "
        "'ukd_register_terms'? Available: ukd_register_layer_sources, ukd_register_methods, "
        "ukd_register_output_spaces, ukd_register_projectors, ukd_register_pseudo_heads, ukd_register_terms."),
    "marker missing": (
        MINE.replace("@hookimpl\n", ""),
        "function 'ukd_register_projectors' lacks the @hookimpl marker. Import it with "
        "`from ukd_core import hookimpl`."),
    "no hooks": (
        "x = 1",
        "expected at least one hook, got none. Mark a function with @hookimpl, for example ukd_register_projectors."),
    "hook takes arguments": (
        MINE.replace("ukd_register_projectors()", "ukd_register_projectors(config)"),
        "hook 'ukd_register_projectors' expected to take no arguments, got (config)."),
    "hook is a wrapper": (
        MINE.replace("@hookimpl\n", "@hookimpl(wrapper=True)\n").replace("return [Mine]", "return (yield)"),
        "hook 'ukd_register_projectors' expected to be a plain function, got a wrapper. Remove wrapper=True."),
    "hook raises": (
        MINE.replace("return [Mine]", "raise OSError('disk on\\nfire.')"),
        "hook 'ukd_register_projectors' failed: OSError: disk on fire."),
    "generator raises": (
        MINE.replace("return [Mine]", "yield Mine\n    raise KeyError"),
        "hook 'ukd_register_projectors' failed: KeyError."),
    "hook returns nothing": (
        MINE.replace("return [Mine]", "pass"),
        "hook 'ukd_register_projectors' expected to return a list, got None."),
    "hook returns one class": (
        MINE.replace("[Mine]", "Mine"),
        "hook 'ukd_register_projectors' expected to return a list, got <class 'broken.Mine'>."),
    "hook returns text": (
        MINE.replace("[Mine]", "'mine'"),
        "hook 'ukd_register_projectors' expected to return a list, got 'mine'."),
    "instance for class": (
        MINE.replace("[Mine]", "[Mine()]"),
        "hook 'ukd_register_projectors' expected subclasses of Projector, got an instance of broken.Mine. "
        "Return Mine, not Mine()."),
    "another object": (
        MINE.replace("[Mine]", "[3]"),
        "hook 'ukd_register_projectors' expected subclasses of Projector, got an instance of builtins.int."),
    "wrong class": (
        MINE.replace("[Mine]", "[dict]"),
        "hook 'ukd_register_projectors' expected subclasses of Projector, got the class builtins.dict."),
    "abstract class": (
        HEAD.replace("def forward", "def forwards").replace("def absorb", "def absorbs"),
        "pseudo head broken.Head is abstract. Write: absorb_standardisation, forward."),
    "method expected": (
        METHOD.format(result="[Method]"),
        "hook 'ukd_register_methods' expected instances of Method, got <class 'ukd_core.method.Method'>."),
    "method without list": (
        METHOD.format(result="PRESET").replace('summary="", source="", ', 'summary="s", source="p", '),
        "hook 'ukd_register_methods' expected to return a list, got Method('preset')."),
    "name missing": (
        MINE.replace('name = "mine"', ""),
        "projector broken.Mine expected the class attribute 'name', got none."),
    "name in capitals": (
        projector("Mine", "My_Own"),
        "projector broken.Mine expected a name in kebab-case, got 'My_Own'. Write it like 'low-rank'."),
    "name ends with hyphen": (
        projector("Mine", "own-"),
        "projector broken.Mine expected a name in kebab-case, got 'own-'. Write it like 'low-rank'."),
    "name is a number": (
        MINE.replace('"mine"', "7"),
        "projector broken.Mine expected a name in kebab-case, got 7. Write it like 'low-rank'."),
    "method name": (
        METHOD.format(result="[PRESET]").replace('name="preset"', 'name="Pre set"'),
        "method ukd_core.method.Method expected a name in kebab-case, got 'Pre set'. Write it like 'low-rank'."),
    "constructor of a head": (
        HEAD, "pseudo head broken.Head expected a constructor that takes (width, size), got (size)."),
    "constructor of a term": (
        TERM, "term broken.Sum expected a constructor that takes (options, setup), got (options)."),
    "constructor of a projector": (
        MINE.replace("    def weights", "    def __init__(self, *, options=None):\n        pass\n\n    def weights"),
        "projector broken.Mine expected a constructor that takes (options, setup), got (*, options=None)."),
    "constructor of a space": (
        SPACE.replace("    predictions", "    problem_type = 'x'\n    __init__ = lambda self: None\n    predictions"),
        "output space broken.Space expected a constructor that takes (labels), got ()."),
    "class attribute missing": (
        SPACE, "output space broken.Space expected the class attribute 'problem_type', got none."),
    "options of another kind": (
        MINE.replace("    def weights", "    Options = dict\n\n    def weights"),
        "projector broken.Mine expected Options to be a subclass of ukd_core.Options, got the class builtins.dict."),
    "model types are text": (
        adapter("Mine", "mine", ("bert",)).replace("('bert',)", "'bert'"),
        "adapter broken.Mine expected model_types to be a tuple of str, got 'bert'."),
    "term without terms": (
        METHOD.format(result="[PRESET]"),
        "method 'preset', phase 'only': no term 't'. Available: none."),
}
