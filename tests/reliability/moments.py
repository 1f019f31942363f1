"""Python that is executed before a command line and sends its own process a signal at one moment of a run.

Each takes the `number` of the signal.
"""

from __future__ import annotations

SHARDS = "import ukd_core.run.cache.building as building\nbuilding.SHARD_ROWS = 16\n"
"""So that a small pass has many shards."""
_CALLED = """
import os
import {module} as module
owner, name = {owner}, "{name}"
before, seen = getattr(owner, name), []

def signalled(*arguments, **options):
    seen.append(1)
    if len(seen) == {call}:
        os.kill(os.getpid(), NUMBER)
    return before(*arguments, **options)

setattr(owner, name, signalled)
"""


def _at(module: str, owner: str, name: str, call: int) -> str:
    """When a function of a module, or a method of one of its classes, is called for the so-manieth time."""
    code = _CALLED.format(module=module, owner=owner, name=name, call=call)
    return code.replace("{", "{{").replace("}", "}}").replace("NUMBER", "{number}")


AT = {
    "preflight": _at("ukd_core.run.preflight.report", "module", "make_trial", 1),
    "pass": _at("ukd_core.run.cache.building", "module.Building", "_write", 4),
    "training": _at("ukd_core.run.trainer", "module.ProgressBar", "on_step_end", 8),
    "writing": _at("ukd_core.run.distill", "module", "student_card", 1),
    "verdict": _at("ukd_core.run.verdict", "module", "write_verdict", 1),
}
