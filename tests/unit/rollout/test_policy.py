from datetime import timedelta

import pytest
from pydantic import ValidationError

from gateway_tuning.errors import ConfigurationError
from gateway_tuning.rollout.policy import (
    METRICS,
    CanaryPolicy,
    MetricWeights,
    metric_name,
    policy_from_configuration,
)


def test_the_defaults_are_the_documented_ramp_and_all_five_metrics():
    policy = CanaryPolicy()
    assert policy.stages == (0.01, 0.05, 0.10, 0.25, 0.50)
    assert policy.metrics_to_monitor == METRICS
    assert policy.promotion_threshold == 0.95


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"metrics_to_monitor": ("latency", "happiness")},
            "'error_rate', 'latency', 'user_feedback'.*happiness",
        ),
        ({"metrics_to_monitor": ()}, "at least 1"),
        ({"metrics_to_monitor": ("latency", "latency")}, "names a metric twice"),
        ({"weights": {"latency": -0.1}}, "greater than or equal to 0"),
        ({"weights": {"happiness": 0.1}}, "happiness"),
        ({"metrics_to_monitor": ("latency",), "weights": {"latency": 0}}, "weight above 0"),
        ({"approve_before": (0.3,)}, "must be among the stages"),
        ({"promotion_threshold": 1.5}, "less than or equal to 1"),
        ({"stages": (0.1, 0.6)}, "end at 0.5 or below"),
    ],
)
def test_a_policy_that_cannot_work_is_refused_with_the_reason(changes, told):
    with pytest.raises(ValidationError, match=told):
        CanaryPolicy.model_validate(changes)


def test_a_weight_of_a_metric_that_is_not_monitored_may_be_anything():
    weights = MetricWeights(latency=1, error_rate=0, user_feedback=0, token_count=0, relevance=0)
    assert CanaryPolicy(metrics_to_monitor=("latency",), weights=weights).weights.latency == 1


def test_a_stage_or_the_promotion_can_need_an_approval():
    assert CanaryPolicy(approve_before=(0.25, 1.0)).approve_before == (0.25, 1.0)


def test_a_plain_configuration_becomes_a_policy_and_a_baseline():
    read = policy_from_configuration(
        {
            "InitialPercentage": 5,
            "EvaluationPeriod": "02:30:00",
            "PromotionThreshold": 0.9,
            "BaselineDeploymentId": "assistant@1",
            "MetricsToMonitor": ["model.latency_ms", "ErrorRate", "relevance_score"],
        }
    )
    assert read.baseline == "assistant@1"
    assert read.policy.stages == (0.05, 0.10, 0.25, 0.50)
    assert read.policy.stage_seconds == timedelta(hours=2.5).total_seconds()
    assert read.policy.promotion_threshold == 0.9
    assert read.policy.metrics_to_monitor == ("latency", "error_rate", "relevance")


def test_an_empty_configuration_has_the_known_defaults():
    read = policy_from_configuration({})
    assert read.baseline is None
    assert read.policy.stages == (0.10, 0.25, 0.50)
    assert (read.policy.stage_seconds, read.policy.promotion_threshold) == (3600, 0.95)
    assert read.policy.metrics_to_monitor == METRICS


def test_what_the_configuration_does_not_say_is_the_bases():
    base = CanaryPolicy(min_users=7, approve_before=(0.05, 0.25), metrics_to_monitor=("latency",))
    policy = policy_from_configuration({"InitialPercentage": 20}, base).policy
    assert policy.stages == (0.20, 0.25, 0.50)
    assert (policy.min_users, policy.approve_before, policy.metrics_to_monitor) == (7, (0.25,), ("latency",))


@pytest.mark.parametrize(
    ("period", "seconds"), [("1.02:00:00", 93_600), ("00:30:00", 1800), ("PT1H", 3600), (90, 90)]
)
def test_a_period_is_a_time_span_a_duration_or_seconds(period, seconds):
    assert policy_from_configuration({"EvaluationPeriod": period}).policy.stage_seconds == seconds


@pytest.mark.parametrize(
    ("configuration", "told"),
    [
        ({"InitialPercent": 5}, "InitialPercent.*understood: InitialPercentage"),
        ({"InitialPercentage": 60}, "InitialPercentage: .*50"),
        ({"PromotionThreshold": 95}, "PromotionThreshold"),
        ({"MetricsToMonitor": ["Happiness"]}, "Happiness is no metric; there are: error_rate, latency"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused_with_its_key(configuration, told):
    with pytest.raises(ConfigurationError, match=told):
        policy_from_configuration(configuration)


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_is_known_by_its_own_name(name):
    assert metric_name(name) == name
