"""The OpenAPI document is whole and true: generated requests meet no defect and no undocumented answer."""

from contextlib import suppress

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from gateway_tuning.access.permissions import Permission, Role
from gateway_tuning.api.app import create_app
from tests.api.conftest import PREFIX


def no_defect(_context, response, _case):
    """503 tells that a part is missing, as the orchestrator is here; every other 5xx is a defect."""
    assert response.status_code < 500 or response.status_code == 503


CHECKS = [
    no_defect,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
# Of right and of wrong requests for an operation. The administrator gets past the permissions, the others do not.
EXAMPLES = {Role.MODEL_ADMIN: 4}
FEW_EXAMPLES = 1


@pytest.fixture
def document(services):
    return create_app(services).openapi()


def operations(document):
    return [
        (method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def test_every_operation_shows_its_permission_or_that_it_is_public(document):
    for method, path, operation in operations(document):
        if path.startswith(PREFIX):
            assert operation["x-permission"] in set(Permission), (method, path)
            assert operation["security"] == [{"bearer": []}], (method, path)
        else:
            assert "x-permission" not in operation
            assert "security" not in operation
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"


def test_every_guarded_operation_documents_its_refusals_as_problems(document):
    for method, path, operation in operations(document):
        if path.startswith(PREFIX):
            for status in ("401", "403", "422", "429", "500", "503"):
                content = operation["responses"][status]["content"]
                assert list(content) == ["application/problem+json"], (method, path, status)


def test_every_operation_has_a_summary_and_every_body_an_example(document):
    for method, path, operation in operations(document):
        assert operation["summary"], (method, path)
        if "requestBody" in operation:
            content = operation["requestBody"]["content"]["application/json"]
            schema = content["schema"]
            if "$ref" in schema:
                schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
            assert content.get("examples") or schema.get("examples"), (method, path)


def test_every_reference_of_the_document_leads_somewhere(document):
    def references(node):
        if isinstance(node, dict):
            if isinstance(node.get("$ref"), str):
                yield node["$ref"]
            for value in node.values():
                yield from references(value)
        elif isinstance(node, list):
            for value in node:
                yield from references(value)

    for reference in set(references(document)):
        place = document
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]


def test_the_document_is_served_to_everybody(open_client, document):
    assert open_client().get(f"{PREFIX}/openapi.json").json() == document


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["sqlite"], indirect=True)
@pytest.mark.parametrize("role", [*Role, None])
def test_generated_requests_meet_no_defect_and_no_undocumented_answer(server, document, key_for, role):
    schema = schemathesis.openapi.from_dict(document)
    headers = {"authorization": f"Bearer {key_for(role)[1]}"} if role else {}

    examples = EXAMPLES.get(role, FEW_EXAMPLES)
    for operation in schema.get_all_operations():
        meet(operation.ok(), GenerationMode.POSITIVE, examples, server.url, headers)
        with suppress(Unsatisfiable):  # where nothing is asked for, nothing can be wrong
            meet(operation.ok(), GenerationMode.NEGATIVE, examples, server.url, headers)


def meet(operation, mode, examples, url, headers):
    @settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def check(case):
        case.call_and_validate(base_url=url, headers=headers, checks=CHECKS)

    check()
