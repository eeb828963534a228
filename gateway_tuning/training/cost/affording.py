"""Before a job: estimate it and set the money aside. After it: write down what it did cost."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import sqlalchemy as sa

from gateway_tuning.datasets.catalog import DatasetCatalog
from gateway_tuning.datasets.manifest import Manifest
from gateway_tuning.datasets.splits import TRAIN, VALIDATION
from gateway_tuning.errors import NotFoundError
from gateway_tuning.settings import Settings
from gateway_tuning.storage.object_store import ObjectStore
from gateway_tuning.training import catalog
from gateway_tuning.training.cost import history
from gateway_tuning.training.cost.actual import cost_of_job
from gateway_tuning.training.cost.counting import tokens_of_split
from gateway_tuning.training.cost.entries import CostStore
from gateway_tuning.training.cost.entry import CostEntry
from gateway_tuning.training.cost.estimate import Ask, Estimate, estimate
from gateway_tuning.training.cost.passes import passes
from gateway_tuning.training.cost.price_file import price_book
from gateway_tuning.training.cost.prices import PriceBook
from gateway_tuning.training.cost.reservations import Reservation, ReservationStore, State
from gateway_tuning.training.cost.tokens import TokenCount
from gateway_tuning.training.hosting import is_elsewhere
from gateway_tuning.training.job import TuningSpec
from gateway_tuning.training.jobs import JobStore, TuningJob, job_key


@dataclass(frozen=True)
class Counter:
    """Where costs are known and kept."""

    settings: Settings
    engine: sa.Engine
    objects: ObjectStore

    def estimate(self, spec: TuningSpec, manifest: Manifest, *, max_hours: float, now: datetime) -> Estimate:
        """Of a job on this dataset. No provider is asked.

        Raises:
            ConfigurationError: there is no such provider, or the price file cannot be read.
            ProviderError: the provider has no such method.
            IntegrityError: the dataset is not what its manifest says.
        """
        today = now.date()
        book = price_book(self.settings.price_file, today=today)
        offered = catalog.provider(spec.provider, self.settings).capabilities.of_base(spec.base_model)
        name = offered.export_of(spec.method)

        def counted(split: str) -> TokenCount:
            return tokens_of_split(
                self.objects,
                manifest,
                split,
                format_name=name,
                provider=spec.provider,
                base_model=spec.base_model,
                book=book,
                cache_dir=self.settings.cache_dir,
            )

        training = counted(TRAIN)
        through = passes(spec.provider, spec.base_model, spec.hyperparameters, examples=training.examples)
        ask = Ask(
            provider=spec.provider,
            base_model=spec.base_model,
            method=spec.method,
            training=training,
            passes=through,
            max_hours=Decimal(str(max_hours)),
            validation=counted(VALIDATION) if through.through_validation else None,
            pace=history.pace(self.engine, manifest.tenant, spec.provider, spec.base_model),
            is_elsewhere=is_elsewhere(spec.provider, self.settings),
        )
        return estimate(ask, book, today=today)

    def check_affordable(
        self,
        spec: TuningSpec,
        manifest: Manifest,
        *,
        max_hours: float,
        max_cost: Decimal | None,
        currency: str,
        now: datetime,
    ) -> Reservation | None:
        """Set aside what the job may cost, once. None: its provider had it before costs were watched.

        Raises:
            BudgetError: it may cost more than may be spent, or is capped and its cost is not known.
        """
        key, reservations = job_key(spec), ReservationStore(self.engine)
        known = reservations.named(key)
        if known and known[0].state is not State.RELEASED:
            return known[0]
        if not known and self.is_at_provider(key):
            return None
        found = self.estimate(spec, manifest, max_hours=max_hours, now=now)
        return reservations.reserve(
            key, spec, found, tenant=manifest.tenant, now=now, per_run=max_cost, currency=currency
        )

    def record_actual(self, job: TuningJob, *, now: datetime) -> CostEntry | None:
        """Of a job that has ended. Told again it changes nothing.

        Returns:
            None where the provider never had the job: it cost nothing, and may be declared again.
        """
        reservations = ReservationStore(self.engine)
        if job.provider_job_id is None:
            reservations.release(job.key, now=now)
            return None
        book = price_book(self.settings.price_file, today=now.date())
        entry = self._cost(job, book, now)
        reservations.settle(job.key, entry.amount, now=now, currency=entry.currency)
        CostStore(self.engine).add(entry)
        return entry

    def reprice(self, tenant: str, *, now: datetime) -> tuple[str, ...]:
        """Give amounts to what has none, by the prices that are known now. Returns the keys of the jobs.

        Raises:
            ErasedError: the dataset of a job that goes on was taken away.
        """
        book = price_book(self.settings.price_file, today=now.date())
        jobs, costs, reservations = (
            JobStore(self.engine),
            CostStore(self.engine),
            ReservationStore(self.engine),
        )
        given = []
        for unpriced in costs.unpriced(tenant):
            entry = self._cost(jobs.get(unpriced.object_id), book, now)
            if entry.amount is not None and costs.price(entry):
                reservations.settle(entry.object_id, entry.amount, now=now, currency=entry.currency)
                given.append(entry.object_id)
        for one in reservations.of(tenant):
            if one.state is State.RESERVED and one.ceiling is None:
                job = jobs.get(one.job_key)
                manifest = DatasetCatalog(self.engine, self.objects).manifest(job.spec.dataset_id)
                hours = job.limits.max_training_hours
                found = self.estimate(job.spec, manifest, max_hours=hours, now=now)
                reservations.estimate_again(one.job_key, found)
                given += [] if found.ceiling is None else [one.job_key]
        return tuple(given)

    def _cost(self, job: TuningJob, book: PriceBook, now: datetime) -> CostEntry:
        elsewhere = is_elsewhere(job.spec.provider, self.settings)
        return cost_of_job(job, now=now, book=book, is_elsewhere=elsewhere)

    def is_at_provider(self, key: str) -> bool:
        """Or was: it has the job's id, and is asked for it no second time."""
        try:
            return JobStore(self.engine).get(key).provider_job_id is not None
        except NotFoundError:
            return False
