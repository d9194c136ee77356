"""The warning about a model that predicts the same for every example."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from heedful.errors import count

Answers = Sequence[Sequence[str]]

UNEVEN_ADVICE = (
    "train with --set training.metric=macro_f1 to keep the weights by macro F1, and weigh rare labels up with "
    "--class-weights balanced"
)
EVEN_ADVICE = (
    "train longer or at another learning rate or, if that label was the most frequent one in training, with "
    "--class-weights balanced and --set training.metric=macro_f1"
)


def constant_warning(predicted: Answers, references: Answers, *, multi_label: bool) -> str | None:
    """Return a warning if the predictions are all the same although the references are not; else None.

    Args:
        predicted: the labels of each example; those of examples without a prediction are not counted.
        references: the reference labels of each example.
        multi_label: whether an example may have several labels or none.

    >>> constant_warning([["no"]] * 3, [["no"], ["no"], ["yes"]], multi_label=False)[:60]
    "all 3 predictions are 'no', the label of 67% of the examples"
    >>> constant_warning([["no"], ["yes"]], [["no"], ["no"]], multi_label=False)
    """
    distinct = {tuple(sorted(labels)) for labels in predicted if labels or multi_label}
    wanted = Counter(tuple(sorted(labels)) for labels in references)
    if len(distinct) != 1 or len(wanted) < 2:
        return None
    [always] = distinct
    share = wanted[always] / len(references)
    if not always:
        return (
            f"no label is predicted for any of {count(len(predicted), 'example')}, though "
            f"{1 - share:.0%} of them have one; lower the threshold, or weigh rare labels up with "
            "--class-weights balanced"
        )
    advice = UNEVEN_ADVICE if share > 1.2 / len(wanted) else EVEN_ADVICE
    number = len([labels for labels in predicted if labels])
    labels = " + ".join(map(repr, always))
    return f"all {number:,} predictions are {labels}, the label of {share:.0%} of the examples; {advice}"
