"""What users ask now, brought into the form of the dataset that it is compared with. Nothing of it is kept.

A dataset holds no equal examples twice, caps what one user says and leaves out what filters refuse: compared with raw
feedback, it would always have drifted. So the feedback of the window goes through the build of a dataset with the
recipe of the reference, on object storage in memory that goes when this has ended. Personal data is replaced there as in
any build, and what cannot be anonymized is left out.
"""

import secrets
from dataclasses import replace
from datetime import datetime

from gateway_tuning.anonymization.policy import AnonymizationPolicy
from gateway_tuning.datasets.augmentation.policy import AugmentationPolicy
from gateway_tuning.datasets.build import Request, build
from gateway_tuning.datasets.building.workshop import Workshop, alone
from gateway_tuning.datasets.example import Example
from gateway_tuning.datasets.published import read_all
from gateway_tuning.datasets.recipe import RECIPE_VERSION, DatasetRecipe
from gateway_tuning.storage import layout
from gateway_tuning.storage.object_store import ObjectStore


def window_recipe(
    reference: DatasetRecipe, *, anonymization: AnonymizationPolicy, since: datetime, max_records: int
) -> DatasetRecipe:
    """The reference's, for a window. A stored recipe hides the words of its policy, so the policy is given."""
    return reference.model_copy(
        update={
            "version": RECIPE_VERSION,
            "since": since,
            "max_records": max_records,
            "anonymization": anonymization,
            "augmentation": AugmentationPolicy(),
        }
    )


def recent_examples(
    workshop: Workshop, *, tenant: str, recipe: DatasetRecipe, anonymizer: str, now: datetime
) -> list[Example]:
    """Examples of the feedback given since `recipe.since`, anonymized.

    Raises:
        ConfigurationError: an evaluation set of the recipe is not registered any more.
    """
    passing = ObjectStore(f"memory://drift-{secrets.token_hex(8)}")
    for name in recipe.evaluation_sets:
        key = layout.evaluation_set(name)
        if workshop.objects.exists(key):
            passing.write(key, workshop.objects.read(key))
    # Pseudonyms of a window lead nowhere: what was asked is gone once it was counted.
    apart = replace(workshop, objects=passing, vault=None)
    request = Request(
        key="window",
        tenant=tenant,
        recipe=recipe,
        watermark=workshop.feedback.watermark(tenant),
        anonymizer=anonymizer,
        now=now,
    )
    try:
        return read_all(passing, build(request, apart, alone(apart)).manifest)
    finally:
        for key in passing.list_keys(""):
            passing.delete(key)
