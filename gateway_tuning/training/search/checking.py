"""Hold a search space against what its provider takes, before anything is trained."""

from typing import Any

from pydantic import BaseModel, ValidationError

from gateway_tuning.errors import ConfigurationError
from gateway_tuning.serving import LOCAL_PROVIDER
from gateway_tuning.training.local.hyperparameters import LoraHyperparameters, defaults_of, names_of
from gateway_tuning.training.local.model.weights import BASE_MODEL
from gateway_tuning.training.search.plan import SIMILARITY, VALIDATION_LOSS, SearchPlan


def check(plan: SearchPlan) -> None:
    """The objective, and of the space the ends of each range and each option.

    What a provider takes that is not ours is not known here; it refuses job by job.

    Raises:
        ConfigurationError: it names the hyperparameter and what the provider takes.
        ProviderError: the provider does not tune the base model.
    """
    _require_measurable(plan)
    model, training = _model(plan), plan.training
    if model is None:
        return
    known = _names(plan, model)
    for parameter in plan.space.parameters:
        if parameter.name not in known:
            raise ConfigurationError(
                f"{training.provider} has no hyperparameter {parameter.name} for {training.method}; "
                f"it has: {', '.join(known)}"
            )
        for value in parameter.extremes:
            try:
                model.model_validate(training.hyperparameters | {parameter.name: value})
            except ValidationError as error:
                problems = "; ".join(
                    f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors()
                )
                raise ConfigurationError(
                    f"{training.provider} does not take {parameter.name}={value!r} of the search space: {problems}"
                ) from None


def defaults(plan: SearchPlan) -> dict[str, Any]:
    """What the provider takes for what the plan does not say, as far as it is known before a job runs."""
    model = _model(plan)
    if model is None:
        return dict(plan.training.hyperparameters)
    given = model.model_validate(_defaults(plan) | plan.training.hyperparameters).model_dump()
    return {name: value for name, value in given.items() if value is not None}


def _require_measurable(plan: SearchPlan) -> None:
    objective, training = plan.objective, plan.training
    if objective.metric != SIMILARITY:
        return
    if training.provider != LOCAL_PROVIDER:
        if objective.base_url is not None:
            return
        raise ConfigurationError(
            f"Similarity needs answers, and where {training.provider} serves its models is not said; "
            f"set objective.base_url and objective.api_key_env, or use the objective {VALIDATION_LOSS}"
        )
    if training.base_model != BASE_MODEL:
        raise ConfigurationError(
            f"Only {BASE_MODEL} is served here for similarity, not {training.base_model}; "
            f"use the objective {VALIDATION_LOSS}"
        )


def _names(plan: SearchPlan, model: type[BaseModel]) -> list[str]:
    if plan.training.provider == LOCAL_PROVIDER:
        return names_of(plan.training.method)
    return list(model.model_fields)


def _defaults(plan: SearchPlan) -> dict[str, Any]:
    return dict(defaults_of(plan.training.method)) if plan.training.provider == LOCAL_PROVIDER else {}


def _model(plan: SearchPlan) -> type[BaseModel] | None:
    """Of the provider's hyperparameters; None where it is not known."""
    provider, method = plan.training.provider, plan.training.method
    if provider == LOCAL_PROVIDER:
        return LoraHyperparameters
    if provider == "bedrock":
        from gateway_tuning.training.providers.bedrock.families import family_of

        return family_of(plan.training.base_model).hyperparameters
    if provider == "mistral":
        from gateway_tuning.training.providers.mistral.wire import Supervised

        return Supervised
    return _by_method(provider).get(method)


def _by_method(provider: str) -> dict[str, type[BaseModel]]:
    if provider == "openai":
        from gateway_tuning.training.providers.openai.wire import PARAMETERS
    elif provider == "together":
        from gateway_tuning.training.providers.together import PARAMETERS
    elif provider == "fireworks":
        from gateway_tuning.training.providers.fireworks import PARAMETERS
    else:
        return {}
    return dict(PARAMETERS)
