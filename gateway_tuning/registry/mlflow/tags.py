"""A version as tags of MLflow, and back. Pure.

What a version is stands in one tag, each status in one more, numbered by the revision: a change is one write, and what
was written is never written over. The others are for people who look at MLflow, and are never read.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from gateway_tuning.errors import IntegrityError
from gateway_tuning.registry.aliases import DEFAULT_ENVIRONMENT, AliasChange, AliasName
from gateway_tuning.registry.code_version import CodeVersion
from gateway_tuning.registry.model_version import ModelVersion, StoredFile
from gateway_tuning.registry.statuses import ModelStatus, StatusChange

PREFIX = "gateway_tuning."
ID, TENANT, STATUS = f"{PREFIX}id", f"{PREFIX}tenant", f"{PREFIX}status"
_RECORD = f"{PREFIX}record"
_CHANGE, _MOVE = f"{PREFIX}status.", f"{PREFIX}alias."
_APART = "--"  # environment and name: MLflow's aliases hold no slash, and ours hold no two hyphens
_TIMES = ("created_at", "holds_erased_since")


def version_tags(version: ModelVersion) -> dict[str, str]:
    """All but its status."""
    record = {name: value for name, value in asdict(version).items() if name not in {"status", "revision"}}
    record |= {name: None if record[name] is None else record[name].isoformat() for name in _TIMES}
    shown = {
        ID: version.id,
        TENANT: version.tenant,
        f"{PREFIX}base_model": version.base_model,
        f"{PREFIX}provider": version.provider,
        f"{PREFIX}dataset": version.dataset_id,
        f"{PREFIX}served_model": version.served_model,
        f"{PREFIX}code": None if version.code is None else str(version.code),
    }
    shown |= {f"{PREFIX}sha256.{_key(name)}": file.sha256 for name, file in version.files.items()}
    return {_RECORD: _dump(record)} | {name: value for name, value in shown.items() if value is not None}


def change_tags(change: StatusChange, revision: int) -> dict[str, str]:
    body = {
        "before": change.before,
        "status": change.status,
        "reason": change.reason,
        "by": change.by,
        "at": change.at.isoformat(),
    }
    return {f"{_CHANGE}{revision:06}": _dump(body), STATUS: change.status.value}


def move_tag(change: AliasChange, number: int) -> tuple[str, str]:
    body = {
        "alias": change.alias,
        "version_id": change.version_id,
        "reason": change.reason,
        "by": change.by,
        "at": change.at.isoformat(),
    }
    return f"{_MOVE}{number:06}", _dump(body)


def version_of(tags: Mapping[str, str]) -> ModelVersion:
    """Raises IntegrityError when somebody changed the tags so that they no longer tell a version."""
    try:
        fields: dict[str, Any] = json.loads(tags[_RECORD])
        fields |= {name: None if fields[name] is None else _time(fields[name]) for name in _TIMES}
        fields["files"] = {name: StoredFile(**file) for name, file in fields["files"].items()}
        fields["code"] = None if fields["code"] is None else CodeVersion(**fields["code"])
        fields["parents"] = tuple(fields["parents"])
        revision, last = max(_numbered(tags, _CHANGE))
        return ModelVersion(**fields, status=ModelStatus(last["status"]), revision=revision)
    except (KeyError, TypeError, ValueError) as error:
        raise IntegrityError(
            f"The tags {PREFIX}* of {tags.get(ID)} in MLflow were changed and tell no version: {error!r}"
        ) from error


def changes_of(version_id: str, tags: Mapping[str, str]) -> list[StatusChange]:
    return [
        StatusChange(
            version_id=version_id,
            before=None if body["before"] is None else ModelStatus(body["before"]),
            status=ModelStatus(body["status"]),
            reason=body["reason"],
            by=body["by"],
            at=_time(body["at"]),
        )
        for _, body in sorted(_numbered(tags, _CHANGE))
    ]


def moves_of(model: str, tags: Mapping[str, str]) -> list[AliasChange]:
    return [
        AliasChange(
            model=model,
            alias=body["alias"],
            version_id=body["version_id"],
            reason=body["reason"],
            by=body["by"],
            at=_time(body["at"]),
        )
        for _, body in sorted(_numbered(tags, _MOVE))
    ]


def mlflow_alias(name: AliasName) -> str:
    return name.name if name.environment == DEFAULT_ENVIRONMENT else f"{name.environment}{_APART}{name.name}"


def our_alias(name: str) -> str:
    return name.replace(_APART, "/", 1)


def _numbered(tags: Mapping[str, str], prefix: str) -> Iterable[tuple[int, dict[str, Any]]]:
    return [(int(key.removeprefix(prefix)), json.loads(tags[key])) for key in tags if key.startswith(prefix)]


def _key(name: str) -> str:
    """MLflow's keys hold letters, digits and a few signs."""
    return re.sub(r"[^\w.\- /]", "_", name)


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
