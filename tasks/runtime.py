"""Where flows get their stores: the one place that reads settings for them."""

import hmac
import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

import sqlalchemy as sa
from prefect.runtime import flow_run, task_run

from gateway_tuning.anonymization.policy import AnonymizationPolicy
from gateway_tuning.anonymization.vaults import TenantVault, vault_key
from gateway_tuning.cycles.store import CycleStore
from gateway_tuning.datasets.building.workshop import Workshop
from gateway_tuning.datasets.catalog import DatasetCatalog
from gateway_tuning.drift.store import DriftStore
from gateway_tuning.errors import ConfigurationError
from gateway_tuning.evaluation.store import EvaluationStore
from gateway_tuning.feedback.language import LanguageDetector
from gateway_tuning.feedback.store import FeedbackStore
from gateway_tuning.feedback.threshold import ThresholdStore
from gateway_tuning.observability import logs
from gateway_tuning.registry.store import Registry
from gateway_tuning.rollout.canary_store import CanaryStore
from gateway_tuning.runs.approvals import ApprovalStore
from gateway_tuning.runs.prefect_api import PrefectApi
from gateway_tuning.runs.store import RunStore
from gateway_tuning.settings import Settings
from gateway_tuning.storage.database import open_database
from gateway_tuning.storage.object_store import ObjectStore
from gateway_tuning.storage.tenants import subject_key
from gateway_tuning.training.cost.entries import CostStore
from gateway_tuning.training.jobs import JobStore

if TYPE_CHECKING:
    from gateway_tuning.anonymization.anonymizer import Anonymizer

# What the package logs belongs to the run's log; flows hand it to Prefect as an extra logger.
logging.getLogger("gateway_tuning").setLevel(logging.INFO)


@dataclass(frozen=True)
class Runtime:
    settings: Settings

    @cached_property
    def engine(self) -> sa.Engine:
        return open_database(self.settings.resolved_database_url)

    @cached_property
    def objects(self) -> ObjectStore:
        return ObjectStore.from_settings(self.settings)

    @cached_property
    def feedback(self) -> FeedbackStore:
        return FeedbackStore(self.engine)

    @cached_property
    def datasets(self) -> DatasetCatalog:
        return DatasetCatalog(self.engine, self.objects)

    @cached_property
    def jobs(self) -> JobStore:
        return JobStore(self.engine)

    @cached_property
    def registry(self) -> Registry:
        return Registry(self.engine)

    @cached_property
    def evaluations(self) -> EvaluationStore:
        return EvaluationStore(self.engine)

    @cached_property
    def drift(self) -> DriftStore:
        return DriftStore(self.engine)

    @cached_property
    def cycles(self) -> CycleStore:
        return CycleStore(self.engine)

    @cached_property
    def canaries(self) -> CanaryStore:
        return CanaryStore(self.engine)

    @cached_property
    def costs(self) -> CostStore:
        return CostStore(self.engine)

    @cached_property
    def runs(self) -> RunStore:
        return RunStore(self.engine)

    @cached_property
    def approvals(self) -> ApprovalStore:
        return ApprovalStore(self.engine)

    @cached_property
    def thresholds(self) -> ThresholdStore:
        return ThresholdStore(
            self.engine,
            default_count=self.settings.feedback_threshold,
            default_hours=self.settings.threshold_hours,
        )

    def workshop(self) -> Workshop:
        """Raises ConfigurationError: the key of the vaults is set, and is none."""
        key = vault_key(self.settings)
        return Workshop(
            self.feedback,
            self.objects,
            self._anonymizer,
            LanguageDetector().language_of,
            None if key is None else lambda tenant: TenantVault(self.engine, self.objects, tenant, key),
        )

    def _anonymizer(self, tenant: str, policy: AnonymizationPolicy) -> "Anonymizer":
        """Those of recent builds stay loaded."""
        return _anonymizer(
            self.settings.spacy_model, policy.model_dump_json(), subject_key(self.engine, tenant, now=now())
        )

    @cached_property
    def prefect(self) -> PrefectApi:
        """Raises ConfigurationError where no server is named: this flow then runs without one that lasts."""
        api = PrefectApi.from_settings(self.settings)
        if api is None:
            raise ConfigurationError("No Prefect server is configured; set PREFECT_API_URL")
        return api


@lru_cache(maxsize=4)
def _anonymizer(spacy_model: str, policy: str, subject_key: str) -> "Anonymizer":
    from gateway_tuning.anonymization.anonymizer import Anonymizer

    key = hmac.digest(bytes.fromhex(subject_key), b"pseudonyms", "sha256")
    return Anonymizer(spacy_model, policy=AnonymizationPolicy.model_validate_json(policy), pseudonym_key=key)


@lru_cache(maxsize=1)
def runtime() -> Runtime:
    settings = Settings()
    known = (*logging.getLogger().handlers, *logging.getLogger(logs.OURS).handlers)
    prefects = [handler for handler in known if type(handler).__module__.startswith("prefect.")]
    logs.join(settings.log_level, settings.log_format, prefects, _ids)
    return Runtime(settings)


def _ids() -> dict[str, str]:
    """Of the flow run and the task run that are under way."""
    found = {"run": flow_run.id, "task": task_run.id}
    return {name: str(id_) for name, id_ in found.items() if id_ is not None}


def now() -> datetime:
    return datetime.now(UTC)
