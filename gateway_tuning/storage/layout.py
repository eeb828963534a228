"""Every object key, in one place. Nothing else builds a path on object storage."""

LAYOUT_VERSION = 1


DATASETS, MODELS, EVALUATIONS, DRIFT = "datasets", "models", "evaluations", "drift"


def dataset_folder(dataset_id: str) -> str:
    return f"datasets/{dataset_id}"


def dataset_manifest(dataset_id: str) -> str:
    return f"datasets/{dataset_id}/manifest.json"


def dataset_part(dataset_id: str, split: str, sha256: str) -> str:
    return f"datasets/{dataset_id}/parts/{split}-{sha256[:16]}.parquet"


def dataset_export(dataset_id: str, export_format: str, split: str) -> str:
    return f"datasets/{dataset_id}/exports/{export_format}/{split}.jsonl"


def model_file(version_id: str, name: str) -> str:
    return f"models/{version_id}/{name}"


def evaluation_folder(evaluation_id: str) -> str:
    return f"evaluations/{evaluation_id}"


def evaluation_file(evaluation_id: str, name: str) -> str:
    return f"evaluations/{evaluation_id}/{name}"


def drift_folder(report_id: str) -> str:
    return f"drift/{report_id}"


def drift_file(report_id: str, name: str) -> str:
    return f"drift/{report_id}/{name}"
