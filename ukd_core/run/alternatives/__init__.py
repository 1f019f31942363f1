"""What a user would pick instead of a distilled student, tried on the same rows."""

from ukd_core.run.alternatives.task import Alternative, Fitted, Task
from ukd_core.run.alternatives.trying import ALTERNATIVES, chosen, labelled_task, try_alternatives

__all__ = ["ALTERNATIVES", "Alternative", "Fitted", "Task", "chosen", "labelled_task", "try_alternatives"]
