"""Fine-tuning on downstream tasks: classification, tagging, extraction of answers, writing from a source."""

from fourfold.adaptation.downstream.answering import (
    Base,
    Tuned,
    answer_records,
    best_span,
    make_for_task,
    make_tuned,
    task_config,
    task_objective,
)
from fourfold.adaptation.downstream.encoding import Row, RowMaker, TaskBatches, put_together, token_at, writes
from fourfold.adaptation.downstream.features import Classifying, EncoderFeatures, StaticFeatures, share_right
from fourfold.adaptation.downstream.made import MADE, MadeTask
from fourfold.adaptation.downstream.records import TASKS, Record, Tag, TaskKind, hold_out, read_task_records
from fourfold.adaptation.downstream.scoring import (
    Answer,
    Score,
    baseline,
    difference,
    interval,
    macro_f1,
    rouge_l,
    score_records,
)

__all__ = [
    "MADE",
    "TASKS",
    "Answer",
    "Base",
    "Classifying",
    "EncoderFeatures",
    "MadeTask",
    "Record",
    "Row",
    "RowMaker",
    "Score",
    "StaticFeatures",
    "Tag",
    "TaskBatches",
    "TaskKind",
    "Tuned",
    "answer_records",
    "baseline",
    "best_span",
    "difference",
    "hold_out",
    "interval",
    "macro_f1",
    "make_for_task",
    "make_tuned",
    "put_together",
    "read_task_records",
    "rouge_l",
    "score_records",
    "share_right",
    "task_config",
    "task_objective",
    "token_at",
    "writes",
]
