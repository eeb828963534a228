"""Every object key, in one place. Nothing else builds a path on object storage."""

LAYOUT_VERSION = 1


DATASETS, MODELS, EVALUATIONS, DRIFT, BUILDS = "datasets", "models", "evaluations", "drift", "builds"
VAULTS = "vaults"


def dataset_folder(dataset_id: str) -> str:
    return f"datasets/{dataset_id}"


def dataset_manifest(dataset_id: str) -> str:
    return f"datasets/{dataset_id}/manifest.json"


def dataset_part(dataset_id: str, split: str, sha256: str) -> str:
    return f"datasets/{dataset_id}/parts/{split}-{sha256[:16]}.parquet"


def dataset_export(dataset_id: str, export_format: str, split: str) -> str:
    return f"datasets/{dataset_id}/exports/{export_format}/{split}.jsonl"


def dataset_rejected_folder(dataset_id: str) -> str:
    return f"datasets/{dataset_id}/rejected/"


def dataset_rejected(dataset_id: str, sha256: str) -> str:
    return f"{dataset_rejected_folder(dataset_id)}{sha256[:16]}.parquet"


def dataset_topics(dataset_id: str, sha256: str) -> str:
    """Of the settings that they were learned with. They go with the dataset: they are words of it."""
    return f"datasets/{dataset_id}/topics/{sha256[:16]}.npz"


def evaluation_set(label: str) -> str:
    return f"evaluation-sets/{label}.npz"


def names_subjects(key: str) -> bool:
    """Whether an object of a dataset tells in a column whom it holds."""
    return "/parts/" in key or "/rejected/" in key


def vault_folder(tenant_hash: str) -> str:
    return f"vaults/{tenant_hash}"


def vault_keys(tenant_hash: str) -> str:
    return f"vaults/{tenant_hash}/keys.bin"


def vault_batches(tenant_hash: str) -> str:
    return f"vaults/{tenant_hash}/batches"


def vault_batch(tenant_hash: str, sha256: str) -> str:
    return f"vaults/{tenant_hash}/batches/{sha256}.bin"


def build_folder(build_key: str) -> str:
    """What lies between the stages of a build; anonymized, and gone when the build has ended."""
    return f"builds/{build_key[:32]}"


def build_file(build_key: str, stage: str, number: int) -> str:
    return f"builds/{build_key[:32]}/{stage}-{number:06}.bin"


def build_page(build_key: str) -> str:
    """What was expected of a build and found; figures, so that it stays when the build has ended."""
    return f"builds-docs/{build_key[:32]}/expectations.html"


def model_file(version_id: str, name: str) -> str:
    return f"models/{version_id}/{name}"


def evaluation_folder(evaluation_id: str) -> str:
    return f"evaluations/{evaluation_id}"


def evaluation_file(evaluation_id: str, name: str) -> str:
    return f"evaluations/{evaluation_id}/{name}"


def evaluation_page(evaluation_id: str) -> str:
    return evaluation_file(evaluation_id, "report.html")


def drift_folder(report_id: str) -> str:
    return f"drift/{report_id}"


def drift_file(report_id: str, name: str) -> str:
    return f"drift/{report_id}/{name}"


def drift_page(report_id: str) -> str:
    """Evidently's."""
    return drift_file(report_id, "evidently.html")
