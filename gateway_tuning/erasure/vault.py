"""The way back from pseudonyms: what it holds of an erased person goes, and is looked for again.

The vault names whose record a value stood in and when it was said, so that the subject id is enough here too.
"""

import sqlalchemy as sa

from gateway_tuning.anonymization.vault_entry import was_erased
from gateway_tuning.anonymization.vaults import TenantVault
from gateway_tuning.erasure.places import Places
from gateway_tuning.erasure.store import Erasure
from gateway_tuning.errors import ConfigurationError, ConflictError, IntegrityError
from gateway_tuning.storage.object_store import ObjectStore

# No key or another one, others at work for too long, an object that was changed.
_CLOSED = (ConfigurationError, ConflictError, IntegrityError)


def forget_in_vault(places: Places, tenant: str, *, wait_seconds: float) -> list[str]:
    """Everybody who was erased is forgotten. Returns what could not be done."""
    vault = TenantVault(places.engine, places.objects, tenant, places.vault_key, wait_seconds)
    if places.vault_key is None and not vault.exists:
        return []
    try:
        vault.forget_erased()
    except _CLOSED as error:
        return [f"values of the person in the vault: {error}"]
    return []


def found_in_vault(engine: sa.Engine, objects: ObjectStore, erasure: Erasure, key: bytes | None) -> list[str]:
    """A fresh search. A vault that nobody here can open may hold the person, and is told as found."""
    vault = TenantVault(engine, objects, erasure.tenant, key)
    if not vault.exists:
        return []
    erased = {erasure.subject_id: erasure.erased_at}
    try:
        count = vault.count(lambda entry: was_erased(entry, erased))
    except _CLOSED as error:
        return [f"a vault that could not be searched: {error}"]
    return [f"vault of the tenant: {count} entries"] if count else []
