"""Where closed accuracy does not tell whether a model answers better."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

FAR, NEAR = 0.1, 0.02  # shares that are apart, and changes that are none


def cautions(before: Mapping[str, float], after: Mapping[str, float] | None) -> Iterator[str]:
    """Yield what to beware of in measures of closed questions before and after."""
    now = before if after is None else after
    if "closed_accuracy" not in now:
        return
    if after is not None:
        yield from _drift_cautions(before, after)
        yield from _imbalance_cautions(before, after)
    balanced = now.get("closed_balanced_accuracy")
    if balanced is not None and now["closed_accuracy"] - balanced > FAR:
        yield (
            f"closed accuracy {now['closed_accuracy']:.3f} owes much to one answer being the more frequent: balanced"
            f" accuracy is {balanced:.3f}, sensitivity {now['closed_sensitivity']:.3f}, specificity"
            f" {now['closed_specificity']:.3f}"
        )


def _drift_cautions(before: Mapping[str, float], after: Mapping[str, float]) -> Iterator[str]:
    """Yield where answers after training are of another sort than before, and than the clinicians'."""
    lost, had = after.get("closed_unparsed", 0.0), before.get("closed_unparsed", 0.0)
    if lost - had > FAR / 2:
        yield (
            f"{lost:.0%} of the answers to closed questions say neither yes nor no after training, {had:.0%} before:"
            " the model is unlearning to answer (the loss `nll` beside the others, or a lower learning rate keeps it)"
        )
    yes, was, true = after.get("closed_yes"), before.get("closed_yes"), after.get("closed_yes_true")
    if yes is not None and was is not None and true is not None and min(abs(yes - was), abs(yes - true)) > FAR:
        yield (
            f"after training {yes:.0%} of the answers to closed questions say yes, before {was:.0%}, the clinicians'"
            f" {true:.0%}: the model may have learned an answer instead of looking"
        )


def _imbalance_cautions(before: Mapping[str, float], after: Mapping[str, float]) -> Iterator[str]:
    """Yield where closed accuracy rose and balanced accuracy did not, or hardly."""
    names = ("closed_accuracy", "closed_balanced_accuracy")
    if not all(name in side for name in names for side in (before, after)):
        return
    rise, balanced = (after[name] - before[name] for name in names)
    if rise > NEAR and (balanced <= 0 or rise - balanced > FAR):
        yield (
            f"closed accuracy changed by {rise:+.3f}, balanced accuracy by {balanced:+.3f}: sensitivity went from"
            f" {before['closed_sensitivity']:.3f} to {after['closed_sensitivity']:.3f}, specificity from"
            f" {before['closed_specificity']:.3f} to {after['closed_specificity']:.3f}"
        )
