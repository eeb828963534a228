"""A person's word that a job is to end: written down first, then brought to the provider at once where that can be."""

from gateway_tuning.training.watching.carrying import cancel
from gateway_tuning.training.watching.reconciling import Found, Reconciled, Reconciler


def stop(reconciler: Reconciler, key: str, *, reason: str) -> Reconciled:
    """Whoever carries the job hears of it at the next look; the provider hears of it now.

    What is told back is how the job stands: it has ended only once its provider says so.
    """
    job = reconciler.jobs.request_stop(key, reason, now=reconciler.time.now())
    if job.status.is_terminal:
        return Reconciled(job, Found.ENDED, job.message)
    told = reconciler.one(key)
    if told.found is Found.HELD and job.provider_job_id is not None:
        name = job.spec.provider
        cancel(reconciler.provider(name), reconciler.line(name), job)
    return told
