"""Anonymizes many records by several processes: the same results in the same order as one gives."""

import multiprocessing
import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from gateway_tuning.anonymization.policy import AnonymizationPolicy
from gateway_tuning.errors import AnonymizationError

if TYPE_CHECKING:
    from gateway_tuning.anonymization.anonymizer import Anonymizer, Result

Record = Mapping[str, str]

_AHEAD = 2  # batches a worker that wait for it or for the reader: memory follows this


@dataclass(frozen=True, slots=True)
class AnonymizerConfig:
    """How each process makes its `Anonymizer`; see there. Entities: the identifying ones where left out."""

    spacy_model: str
    entities: tuple[str, ...] | None = None
    policy: AnonymizationPolicy = field(default_factory=AnonymizationPolicy)
    pseudonym_key: bytes | None = None
    max_characters: int = 100_000

    def build(self) -> "Anonymizer":
        from gateway_tuning.anonymization.anonymizer import Anonymizer
        from gateway_tuning.anonymization.recognition import IDENTIFYING_ENTITIES

        return Anonymizer(
            self.spacy_model,
            entities=IDENTIFYING_ENTITIES if self.entities is None else self.entities,
            policy=self.policy,
            pseudonym_key=self.pseudonym_key,
            max_characters=self.max_characters,
        )


def anonymize_batches(
    config: AnonymizerConfig, batches: Iterable[Sequence[Record]], *, workers: int = 1
) -> Iterator[list["Result"]]:
    """The results of each batch, in order; a few batches are read ahead.

    One worker is this process. Several are started anew, load the model once each, and need a main module that
    can be imported.

    Raises:
        MissingExtraError, ConfigurationError: as `Anonymizer` does.
        AnonymizationError: a worker was killed; no result of the batches at work came out.
    """
    if workers <= 1:
        anonymizer = config.build()
        for batch in batches:
            yield anonymizer.anonymize(batch)
        return
    pool = ProcessPoolExecutor(
        workers,
        mp_context=multiprocessing.get_context("spawn"),  # a fork would copy threads' locks with the models
        initializer=_configure,
        initargs=(config,),
    )
    waiting: deque[Future[list[Result]]] = deque()
    source = iter(batches)
    try:
        while True:
            waiting.extend(
                pool.submit(_anonymize, [dict(record) for record in batch])
                for batch in islice(source, workers * _AHEAD - len(waiting))
            )
            if not waiting:
                return
            yield waiting.popleft().result()
    except BrokenProcessPool:
        raise AnonymizationError(
            "A process that anonymizes was killed, perhaps for memory; start again with fewer workers"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


_config: AnonymizerConfig | None = None
_anonymizer: "Anonymizer | None" = None


def _configure(config: AnonymizerConfig) -> None:
    global _config  # noqa: PLW0603 - what a worker process is for
    # Before numpy is loaded: threads of several processes would only take each other's cores.
    for library in ("OMP", "OPENBLAS", "MKL"):
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")
    _config = config


def _anonymize(records: Sequence[Record]) -> list["Result"]:
    """The model is loaded here and not at the start of the process, so that an error reaches the caller."""
    global _anonymizer  # noqa: PLW0603 - one a process
    if _anonymizer is None and _config is not None:
        _anonymizer = _config.build()
    if _anonymizer is None:
        raise AnonymizationError("This process was not set up for anonymization")
    return _anonymizer.anonymize(records)
