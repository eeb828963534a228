"""Ask a trial's model the validation prompts, and compare its answers with the preferred ones."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from gateway_tuning.datasets.example import Example
from gateway_tuning.errors import ConfigurationError, ServingError
from gateway_tuning.evaluation.evaluate import choose
from gateway_tuning.evaluation.predict import predict_sync
from gateway_tuning.evaluation.scoring.words.similarity import word_set_similarity
from gateway_tuning.evaluation.settings import EvaluationSettings
from gateway_tuning.registry.endpoint import Endpoint
from gateway_tuning.serving import ADAPTER_FILE
from gateway_tuning.settings import Settings
from gateway_tuning.training.job import TunedModel
from gateway_tuning.training.search.plan import Objective

MOST_FAILURES = 0.05


def similarity(examples: Sequence[Example], endpoint: Endpoint, objective: Objective) -> float | None:
    """Mean over the answers that came; None without an example to ask.

    Raises:
        ServingError: more than one answer of twenty did not come. The model may be good, and is not measured.
    """
    settings = EvaluationSettings(max_examples=objective.max_examples, max_tokens=objective.max_tokens)
    chosen = choose(examples, settings)
    if not chosen:
        return None
    answers = predict_sync(
        endpoint,
        [example.messages for example in chosen],
        concurrency=settings.concurrency,
        timeout_s=settings.timeout_s,
        max_tokens=objective.max_tokens,
        seed=settings.seed,
    )
    scored = [
        word_set_similarity(answer.text, example.answer)
        for answer, example in zip(answers, chosen, strict=True)
        if answer.text is not None
    ]
    failed = len(chosen) - len(scored)
    if failed > MOST_FAILURES * len(chosen):
        reason = next(answer.error for answer in answers if answer.text is None)
        raise ServingError(
            f"{failed} of {len(chosen)} validation answers of {endpoint.model} did not come ({reason}); "
            "resume the search once the model answers"
        )
    return sum(scored) / len(scored)


@contextmanager
def served(tuned: TunedModel, objective: Objective, *, name: str, settings: Settings) -> Iterator[Endpoint]:
    """Where the model answers until the block ends: from this machine where it is files.

    Raises:
        ConfigurationError: it is not known where the model answers.
        ServingError: the local server did not start.
    """
    if tuned.served_model is not None and objective.base_url is not None:
        yield Endpoint(objective.base_url, tuned.served_model, api_key_env=objective.api_key_env)
        return
    if ADAPTER_FILE not in tuned.files:
        raise ConfigurationError(f"Where trial {name} answers is not known; set objective.base_url")
    from gateway_tuning.training.local.model.weights import packaged_gguf
    from gateway_tuning.training.local.serving.server import KEY_ENV, random_key, serve_local

    given = settings.local_server_key.get_secret_value() if settings.local_server_key else None
    key = os.environ.setdefault(KEY_ENV, given or random_key())  # the endpoint names this variable
    log = settings.home / "logs" / f"{name}.log"
    adapters = {name: tuned.files[ADAPTER_FILE]}
    with serve_local(adapters, base_gguf=packaged_gguf(), api_key=key, log=log) as running:
        yield running.endpoints[name]
