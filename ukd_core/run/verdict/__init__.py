"""Whether a run was worth it: its student beside the teacher, its baseline and what a user would pick instead."""

from ukd_core.run.verdict.judged import Floor, Model, Verdict
from ukd_core.run.verdict.judging import verdict_of, write_verdict

__all__ = ["Floor", "Model", "Verdict", "verdict_of", "write_verdict"]
