"""Teacher assistants: a chain of models between teacher and student, each taught by the one before it.

The teacher teaches the first by `logit-kd` (labels and its final answer), that one teaches the next, and the last
teaches the student by the method of the run (TAKD, Mirzadeh et al., AAAI 2020). With ``assistant_use: ensemble`` the
teacher teaches each of them, and together they teach the student (`ukd_core.run.mixture`). An assistant is a teacher:
it does not follow the run's seed, it is trained once and read by later runs, and it learns at the teacher's learning
rate.

Where the recipe names none, a method may ask for n of them: the k-th then is the teacher's own kind of model with
⌈T·(1 − k/2n)⌉ of its T layers, copied from the teacher where the adapter has ``init=teacher-lower``, else built with
the teacher's other options. So the last one has half of the teacher's layers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from transformers import set_seed

from ukd_core.errors import InputError
from ukd_core.layer_source import BuildContext, LayerSource
from ukd_core.run.fingerprint import fingerprint
from ukd_core.run.phases import Training, train_phases
from ukd_core.run.rows import tokenize_data
from ukd_core.run.sources import SourcePlan, plan_source
from ukd_core.run.teacher import TEACHER_SEED, TRAINING_KEYS, kept_model, training_facts
from ukd_core.spec import Spec

if TYPE_CHECKING:
    from ukd_core.run.cache.answers import TeacherAnswers
    from ukd_core.run.plan import Plan
    from ukd_core.run.processes import Processes
    from ukd_core.run.progress import Reporter

METHOD = "logit-kd"
"""What assistants are taught by."""
ASSISTANT_KEYS = (*TRAINING_KEYS, "epochs", "temperature", "class_weights", "unlabelled_weight")
"""Keys of a recipe that decide a trained assistant."""
COPIES = "teacher-lower"
"""Value of an adapter's option `init` that takes the teacher's lower layers."""


@dataclass(frozen=True)
class Link:
    """The teacher or an assistant, with its answers to every row."""

    name: str
    """As the user wrote it, or would have."""
    source: LayerSource
    answers: TeacherAnswers
    seconds: float
    """Spent on its training in this run."""


Ask = Callable[[LayerSource, str, bool], "TeacherAnswers"]
"""A model, its name, and whether it is the one that teaches the student, to its answers."""


def check_default_chain(teacher: SourcePlan, method: str, count: int) -> None:
    """Refuse a method whose `count` assistants cannot be made of the teacher; called before anything is trained.

    Raises:
        InputError: the teacher's adapter cannot change its number of layers.
    """
    if count and "layers" not in teacher.kind.Options.model_fields:
        raise InputError(f"method '{method}'", "expected a teacher whose adapter has the option layers, to make an "
                         f"assistant of fewer, got adapter '{teacher.kind.name}'", "Name one with --assistants.")


def default_chain(teacher: SourcePlan, layers: int, count: int) -> tuple[str, ...]:
    """The assistants of a method where the recipe names none, as a user would write them.

    Args:
        teacher: Its adapter and options.
        layers: T, of the teacher.
        count: How many.
    """
    init = teacher.kind.Options.model_fields.get("init")
    copied = init is not None and COPIES in get_args(init.annotation)
    own = {"init": COPIES} if copied else teacher.options.model_dump(exclude_unset=True, exclude={"layers"})
    depths = [math.ceil(layers * (2 * count - number) / (2 * count)) for number in range(1, count + 1)]
    return tuple(str(Spec(teacher.kind.name, {"layers": depth, **own})) for depth in depths)


def taught_chain(plan: Plan, teacher: Link, ask: Ask, processes: Processes, reporter: Reporter) -> tuple[Link, ...]:
    """The teacher and its assistants, taught.

    All of them, and the student, are built from the teacher itself where they take something of a teacher: so a student
    starts from the same weights with and without assistants.

    Args:
        plan: The run.
        teacher: Its teacher.
        ask: Gets the answers of a trained assistant.
        processes: Who takes part.
        reporter: Where progress goes.

    Raises:
        InputError: an assistant cannot be built for this teacher.
    """
    models = begun_chain(plan, teacher.source)
    chain, in_turn = [teacher], plan.recipe.assistant_use == "chain"
    for number, (model, source) in enumerate(models, start=1):
        who = f"assistant {number} of {len(models)}"
        taught, seconds = _taught(plan, source, chain[-1] if in_turn else teacher, who, processes, reporter)
        last = in_turn and number == len(models)
        chain.append(Link(model.text, taught, ask(taught, model.text, last), seconds))
    return tuple(chain)


def begun_chain(plan: Plan, teacher: LayerSource) -> list[tuple[SourcePlan, LayerSource]]:
    """The assistants of a run before they learn, those of the recipe or those that its method makes.

    Args:
        plan: The run.
        teacher: Its teacher.

    Raises:
        InputError: an assistant cannot be built for this teacher.
    """
    context = BuildContext(plan.data.space, plan.data.texts(), teacher, plan.recipe.max_length, TEACHER_SEED)
    models = plan.assistants or tuple(
        plan_source(text, plan.registry, plan.cache, "assistant")
        for text in default_chain(plan.teacher, teacher.num_layers, plan.default_assistants))
    return [(model, _begun(model, context)) for model in models]


def _begun(model: SourcePlan, context: BuildContext) -> LayerSource:
    set_seed(context.seed)  # a new classifier on existing weights is drawn from the global generators
    return model.start(context)


def _taught(plan: Plan, source: LayerSource, by: Link, who: str, processes: Processes, reporter: Reporter
            ) -> tuple[LayerSource, float]:
    """The assistant after its training by the model before it, and the seconds that it took; read where it is kept."""
    recipe, data, registry = plan.recipe, plan.data, plan.registry
    phases = registry.methods.lookup(METHOD).phases
    scores = {split: by.answers.scores(split).checksum for split in data.splits}
    facts = {**training_facts("assistant", source, data, recipe, ASSISTANT_KEYS), "answers": scores,
             "phases": [phase.model_dump(mode="json") for phase in phases]}
    own = recipe.model_copy(update={"seed": TEACHER_SEED, "learning_rate": recipe.teacher_learning_rate})

    def train(work: Path) -> None:
        reporter.say(f"{who}: learning from '{by.name}'")
        rows = tokenize_data(source, data, recipe.max_length, plan.cache)
        train_phases(Training(source, data, rows, by.answers, own, registry, work, processes, reporter), phases)

    return kept_model(plan.cache / "assistants" / fingerprint(facts), source, who, train, processes, reporter)
