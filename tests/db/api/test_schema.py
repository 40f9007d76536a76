"""The schema: served, checked in, complete, and with examples that are what they say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from tests.db.api.test_scopes_and_tenants import OPERATIONS

FILE = Path(__file__).resolve().parents[3] / "docs" / "guide" / "openapi.yaml"
DOCUMENT: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
EACH = [
    pytest.param(path, method, operation, id=operation["operationId"])
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
]


def problems_of(value: Any, schema: dict[str, Any]) -> list[str]:
    """What is wrong with a value, by its schema. Formats are looked at too."""
    whole = {**schema, "components": DOCUMENT["components"]}
    checker = jsonschema_rs.Draft202012Validator(whole, validate_formats=True)
    return [f"{'.'.join(str(step) for step in error.instance_path)}: {error.message}" for error in checker.iter_errors(value)]


def test_the_checked_in_schema_is_the_served_one(client: Any, db: Any) -> None:
    served = client.get("/api/v1/schema")
    assert (served.status_code, served["Content-Type"]) == (200, "application/yaml; charset=utf-8")
    assert served.content.decode() == FILE.read_text(encoding="utf-8"), "run: manage.py spectacular --file docs/guide/openapi.yaml"


def test_it_is_openapi_3_1_and_holds_every_operation() -> None:
    assert DOCUMENT["openapi"] == "3.1.0"
    assert len(EACH) == len(OPERATIONS)
    assert sorted(method.upper() for _, method, _ in (one.values for one in EACH)) == sorted(method for method, _ in OPERATIONS)


@pytest.mark.parametrize(("path", "method", "operation"), EACH)
def test_each_operation_says_what_it_takes_and_what_it_answers(path: str, method: str, operation: dict[str, Any]) -> None:
    # then it needs a token, and every refusal is a documented problem
    assert operation["security"] == [{"token": []}]
    assert operation["summary"]
    answers = operation["responses"]
    refusals = {code: answer["content"] for code, answer in answers.items() if code >= "400"}
    assert {"400", "401", "403", "404", "429"} <= set(refusals)
    for content in refusals.values():
        assert content == {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemOut"}}}
    # and each body has an example that is a valid one
    bodies = [operation["requestBody"]["content"]["application/json"]] if "requestBody" in operation else []
    good = [answer["content"]["application/json"] for code, answer in answers.items() if code in ("200", "201", "202")]
    assert bool(good) == ("204" not in answers)
    for content in bodies + good:
        assert content["examples"]
        for example in content["examples"].values():
            assert problems_of(example["value"], content["schema"]) == []


def test_bodies_are_closed() -> None:
    asked = {name: schema for name, schema in DOCUMENT["components"]["schemas"].items() if name.endswith("Request")}
    assert len(asked) == 19
    assert {name for name, schema in asked.items() if schema["additionalProperties"] is not False} == set()


def test_an_example_of_another_shape_would_be_found() -> None:
    schema = {"$ref": "#/components/schemas/PromiseInRequest"}
    assert problems_of({"amount_minor": 1, "currency": "EUR", "due_on": "2026-12-01"}, schema) == []
    assert problems_of({"amount_minor": 0, "currency": "eur", "due_on": "soon", "more": 1}, schema) != []
