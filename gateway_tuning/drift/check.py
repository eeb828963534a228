"""Has what users ask, and what they say of the answers, changed between two windows?"""

from collections.abc import Sequence
from dataclasses import replace
from math import log
from traceback import extract_tb

from gateway_tuning.drift.measuring import Column, Measured, Telling, learn_topics, measure
from gateway_tuning.drift.quality import questionable
from gateway_tuning.drift.result import Bin, Classifier, DriftReport, Metric, QualityIssue, State
from gateway_tuning.drift.settings import DriftSettings
from gateway_tuning.drift.spending import alpha_of
from gateway_tuning.drift.statistics import holm
from gateway_tuning.drift.texts.language import LanguageOf
from gateway_tuning.drift.texts.topics import TopicModel
from gateway_tuning.drift.window import Window
from gateway_tuning.errors import GatewayTuningError

__all__ = ["DriftReport", "Metric", "QualityIssue", "Window", "check_drift", "failed", "learn_topics"]

_SHOWN = 12  # bins of a metric
_TOLD = 5  # words of a reason
_ROWS_FOR_A_FIFTH = 1_000  # a side: from there on such a change is found in about 95 of 100 cases


def check_drift(
    reference: Window | None,
    current: Window,
    settings: DriftSettings,
    *,
    check_number: int | None = None,
    topics: TopicModel | None = None,
    language_of: LanguageOf | None = None,
) -> DriftReport:
    """Compare lengths, words, topics, languages, refusals, feedback types and whatever else both windows have.

    A column has drifted when its PSI exceeds what chance gives by `min_psi` and is significant among all of them
    (permutation test over users, Holm). Holm and not Benjamini-Hochberg: each named column may stop a promotion, the
    columns depend on one another, and with about ten of them little power is lost. The prompts as a whole have drifted
    when a classifier tells them apart for users that it has not seen, likewise.

    `check_number`, from 1, is that of this check among those against the same reference, which share alpha
    (`spending`). `topics` are those that `learn_topics` learned on this reference with these settings; without them
    they are learned. `language_of` tells a text's language; by default py3langid where it is installed.

    An error is a state with its reason, never a score of 0. Too few rows or users are inconclusive: below
    `rows_to_measure` nothing is measured; from there to `min_rows` what is found counts, and nothing found is
    inconclusive. Measured on FeedbackQA questions of users with topics of their own: 300 rows a side show a change of
    half of the prompts in 24 of 24 cases and one of two fifths in 21, 100 rows in 10 and 6; a change of a fifth needs
    1,000, and no drift of fewer says so. Without a reference (the stable model was trained on no feedback) the check
    is not applicable.
    """
    if reference is None:
        return _report("not_applicable", "There is no reference to compare with", None, current)
    alpha = settings.alpha if check_number is None else alpha_of(check_number, settings.alpha)
    state, problem = _impossible(reference, current, settings)
    if problem is not None:
        report = _report(state, problem, reference, current)
    else:
        try:
            measured = measure(reference, current, settings, topics, language_of)
            report = _judged(reference, current, settings, measured, alpha)
        except Exception as error:  # noqa: BLE001 - a check that broke is a state that blocks, not a crash of the run
            report = _report("error", f"The check failed: {_broken(error)}", reference, current)
    return replace(report, alpha=alpha, check_number=check_number)


def failed(error: Exception, *, reference: str | None, current: str) -> DriftReport:
    """Of windows that could not be read."""
    return DriftReport(
        state="error",
        reasons=(f"The check failed: {_broken(error)}",),
        metrics=(),
        data_quality=(),
        score=None,
        reference=reference,
        current=current,
    )


def _broken(error: Exception) -> str:
    """Only our own errors are quoted: any other may hold a user's words."""
    if isinstance(error, GatewayTuningError):
        return f"{type(error).__name__}: {error}"
    where = extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {where.name}, line {where.lineno}"


def _impossible(reference: Window, current: Window, settings: DriftSettings) -> tuple[State, str | None]:
    """Why nothing can be measured, and the state that this is."""
    windows = (reference, current)
    if reference.column_names != current.column_names:
        names = sorted(reference.column_names ^ current.column_names)
        return "error", f"{', '.join(names)}: known of one window only; give both windows the same columns"
    if short := [window for window in windows if window.rows < settings.rows_to_measure]:
        told = " and ".join(f"{window.label} has {window.rows}" for window in short)
        return "inconclusive", f"{told} rows, at least {settings.rows_to_measure} are needed"
    few = {window.label: len(set(window.groups)) for window in windows if window.groups is not None}
    if few := {label: groups for label, groups in few.items() if groups < settings.min_groups}:
        told = " and ".join(f"{label} has {groups}" for label, groups in few.items())
        return "inconclusive", f"{told} users or conversations, at least {settings.min_groups} are needed"
    return "no_drift", None


def _judged(
    reference: Window, current: Window, settings: DriftSettings, measured: Measured, alpha: float
) -> DriftReport:
    p_values = [column.shift.p_value for column in measured.columns]
    if measured.classifier is not None:
        p_values.append(measured.classifier.separation.p_value)
    adjusted = holm(p_values)
    metrics = tuple(
        _metric(column, p_value, settings, alpha)
        for column, p_value in zip(measured.columns, adjusted, strict=False)
    )
    classifier = (
        None
        if measured.classifier is None
        else _classifier(measured.classifier, adjusted[-1], settings, alpha)
    )
    state, reasons = _verdict((reference, current), settings, measured, metrics, classifier)
    excess = [max(0.0, metric.psi - metric.psi_expected) for metric in metrics]
    return DriftReport(
        state=state,
        reasons=reasons,
        metrics=metrics,
        data_quality=questionable(reference, current, measured.languages),
        score=sum(excess) / len(excess) if excess else None,
        reference=reference.label,
        current=current.label,
        unmeasured=measured.unmeasured,
        classifier=classifier,
        topics=next((column.bins for column in measured.columns if column.name == "topics"), ()),
    )


def _metric(column: Column, p_value: float, settings: DriftSettings, alpha: float) -> Metric:
    beyond = column.shift.psi - column.shift.expected
    return Metric(
        name=column.name,
        psi=column.shift.psi,
        psi_expected=column.shift.expected,
        p_value=p_value,
        threshold=settings.min_psi,
        drifted=p_value <= alpha and beyond >= settings.min_psi,
        n_reference=column.rows[0],
        n_current=column.rows[1],
        bins=tuple(sorted(column.bins, key=_part, reverse=True)[:_SHOWN]),
    )


def _part(share: Bin) -> float:
    """About the bin's part of the PSI."""
    before, after = share.reference + 1e-4, share.current + 1e-4
    return (after - before) * log(after / before)


def _classifier(found: Telling, p_value: float, settings: DriftSettings, alpha: float) -> Classifier:
    separation = found.separation
    large = separation.auc >= settings.min_auc or separation.share >= settings.min_share
    return Classifier(
        auc=separation.auc,
        share=separation.share,
        p_value=p_value,
        threshold=settings.min_auc,
        share_threshold=settings.min_share,
        drifted=p_value <= alpha and large,
        words_reference=found.words[0],
        words_current=found.words[1],
        n_reference=found.rows[0],
        n_current=found.rows[1],
    )


def _verdict(
    windows: tuple[Window, Window],
    settings: DriftSettings,
    measured: Measured,
    metrics: Sequence[Metric],
    classifier: Classifier | None,
) -> tuple[State, tuple[str, ...]]:
    drifted = [
        f"{metric.name}: PSI {metric.psi:.3f}, by chance {metric.psi_expected:.3f} (p = {metric.p_value:.2g})"
        for metric in metrics
        if metric.drifted
    ]
    if classifier is not None and classifier.drifted:
        drifted.append(_told(classifier))
    if drifted:
        return "drift", tuple(drifted)
    missing = [f"{one.name} could not be measured: {one.reason}" for one in measured.unmeasured if one.blocks]
    if missing:
        return "inconclusive", tuple(missing)
    features = len(metrics) + (classifier is not None)
    if not features:
        told = "; ".join(f"{one.name}: {one.reason}" for one in measured.unmeasured)
        return "inconclusive", (f"Nothing could be measured: {told}",)
    nothing = f"None of {features} features has changed by more than chance"
    few = [window for window in windows if window.rows < settings.min_rows]
    if few:
        told = " and ".join(f"{window.label} has {window.rows}" for window in few)
        return "inconclusive", (
            f"{nothing}, but {told} rows: below {settings.min_rows} even a large change is often missed",
        )
    if min(window.rows for window in windows) < _ROWS_FOR_A_FIFTH:
        return "no_drift", (nothing, "With so few rows a change of a fifth of the prompts may be missed")
    return "no_drift", (nothing,)


def _told(classifier: Classifier) -> str:
    told = (
        f"prompts: told apart with AUC {classifier.auc:.2f}, about {classifier.share:.0%} of the rows are of another "
        f"kind (p = {classifier.p_value:.2g})"
    )
    if classifier.words_current:
        told += f"; more often now: {', '.join(classifier.words_current[:_TOLD])}"
    if classifier.words_reference:
        told += f"; less often: {', '.join(classifier.words_reference[:_TOLD])}"
    return told


def _report(state: State, reason: str, reference: Window | None, current: Window) -> DriftReport:
    try:
        quality = questionable(reference, current, None)
    except Exception:  # noqa: BLE001 - what broke the check may break this too; the state tells it already
        quality = ()
    return DriftReport(
        state=state,
        reasons=(reason,),
        metrics=(),
        data_quality=quality,
        score=None,
        reference=None if reference is None else reference.label,
        current=current.label,
    )
