"""How many times faster than torchdistill's DistillationBox, cold and warm?

    pip install --no-deps torchdistill==1.1.5 torchvision==0.28.0 Cython
    python benchmarks/against_torchdistill.py --data FOLDER --pair minilm-bilstm --rows 2000 --epochs 3 --repeats 5

torchdistill needs torchvision, whose wheel does not load beside a torch built for the CPU ("operator torchvision::nms
does not exist"); no text model uses it, so where it is missing its name alone is declared here. 1.1.5 has no
cache any more, so its teacher runs in every step. Its own scripts tokenize once for both models; here each side of a
batch goes to its model through a forward function of ours, registered as torchdistill asks. Logits are matched by its
`KDLoss`, read by its forward hooks at the classifiers; fused AdamW, linear schedule, gradients clipped at 1, the same
batches of like length as everywhere; no evaluation, no checkpoint. The columns are as in `against_textbrewer.py`.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import torch
from torch import nn

try:  # before transformers, which imports torchvision where it is installed
    import torchvision  # noqa: F401
except RuntimeError:
    declared = torch.library.Library("torchvision", "FRAGMENT")  # its operators go when it is collected
    for operator in ("nms", "qnms"):
        declared.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]

from contest import CLIP, PAIRS, WEIGHT_DECAY, Contest, clock, command_line, compete, prepared
from torchdistill.core.distillation import get_distillation_box
from torchdistill.core.interfaces.registry import register_forward_proc_func
from torchdistill.optim.registry import register_scheduler
from transformers import get_linear_schedule_with_warmup

from ukd_core import quiet


@register_forward_proc_func
def forward_teacher(model: nn.Module, batch: dict[str, Any], targets: Any, supp_dict: Any) -> Any:
    """The teacher's half of a batch."""
    return model(**batch["teacher"]).logits


@register_forward_proc_func
def forward_student(model: nn.Module, batch: dict[str, Any], targets: Any, supp_dict: Any) -> Any:
    """The student's half of a batch."""
    return model(**batch["student"]).logits


register_scheduler(key="linear")(get_linear_schedule_with_warmup)


def configuration(contest: Contest) -> dict[str, Any]:
    """What torchdistill reads from YAML otherwise."""
    _, _, schedule = contest.optimizer(nn.Linear(1, 1), contest.options.epochs)
    hooks = {"forward_hook": {"input": [], "output": ["classifier"]}}
    return {
        "num_epochs": contest.options.epochs,
        "teacher": {"forward_proc": "forward_teacher", "requires_grad": False, **hooks},
        "student": {"forward_proc": "forward_student", **hooks},
        "optimizer": {"key": "AdamW", "max_grad_norm": CLIP, "kwargs": {
            "lr": contest.learning_rate, "weight_decay": WEIGHT_DECAY, "fused": True}},
        "scheduler": {"key": "linear", "scheduling_step": 1, "kwargs": schedule},
        "criterion": {"key": "WeightedSumLoss", "kwargs": {"sub_terms": {"kd": {"weight": 1.0, "criterion": {
            "key": "KDLoss", "kwargs": {
                "student_module_path": "classifier", "student_module_io": "output",
                "teacher_module_path": "classifier", "teacher_module_io": "output",
                "temperature": 1.0, "alpha": 0.5, "reduction": "batchmean"}}}}}},
    }


def torchdistill(contest: Contest, seed: int) -> float:
    """Seconds of all epochs of a `DistillationBox`, in the loop of torchdistill's own script."""
    teacher = contest.teacher.source.model
    box = get_distillation_box(teacher, contest.new_student(), {}, configuration(contest), contest.device, None,
                               distributed=False, lr_factor=1)
    loader = contest.loader(seed)
    with quiet(), clock(contest.device) as seconds:
        for epoch in range(contest.options.epochs):
            box.pre_epoch_process(epoch=epoch)
            for batch in loader:
                box.pre_forward_process()
                sides = {side: contest.to_device(batch[side]) for side in ("teacher", "student")}
                with contest.precision():
                    loss = box.forward_process(sides, batch["labels"].to(contest.device), None)
                box.post_forward_process(loss)
            box.post_epoch_process()
    box.clean_modules()
    teacher.requires_grad_(False)
    return seconds[0]


def main() -> None:
    options = command_line(__doc__).parse_args()
    pair = PAIRS[options.pair]
    with prepared(options, replace(pair, student=options.student or pair.student)) as contest:
        compete(contest, "torchdistill", torchdistill)


if __name__ == "__main__":
    main()
