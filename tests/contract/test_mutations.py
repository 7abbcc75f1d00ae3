"""The comparison bites: a local Azure that answers a little wrong is found out."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from deviations import judge
from shapes import load_table
from test_shapes import play

from local_azure.app import App
from local_azure.http_server import Delivery
from local_azure.http_types import Response

TABLE = load_table()
Mutation = Callable[[Response], Response]


def without_header(name: str) -> Mutation:
    """Answers lack a header."""
    return lambda answer: Response(
        answer.status,
        {key: value for key, value in answer.headers.items() if key != name},
        answer.body,
    )


def with_header(name: str) -> Mutation:
    """Answers have a header too many."""
    return lambda answer: Response(answer.status, {name: "1", **answer.headers}, answer.body)


def with_status(wrong: dict[int, int]) -> Mutation:
    """Answers have another status."""
    return lambda answer: Response(
        wrong.get(answer.status, answer.status), answer.headers, answer.body
    )


def with_body(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Mutation:
    """Every object in every answer is changed."""

    def mutate(answer: Response) -> Response:
        if not answer.body or "application/json" not in answer.headers.get("Content-Type", ""):
            return answer
        body = json.loads(answer.body, object_hook=change)
        return Response(answer.status, answer.headers, json.dumps(body).encode())

    return mutate


def renamed(old: str, new: str) -> Mutation:
    """A field has another name."""
    return with_body(lambda item: {new if key == old else key: item[key] for key in item})


def retyped(name: str, value: Any) -> Mutation:
    """A field has another value, of another type."""
    return with_body(lambda item: {**item, name: value} if name in item else item)


@pytest.mark.parametrize(
    ("scenario", "mutation", "complaint"),
    [
        ("restore_point_create", without_header("azure-asyncnotification"), "header -azure-async"),
        ("restore_point_create", with_header("Location"), "header +Location"),
        ("restore_point_create", with_status({201: 200}), "status 200, not 201"),
        ("restore_point_create", renamed("hyperVGeneration", "generation"), "+properties.source"),
        ("restore_point_create", with_body(lambda item: {**item, "type": "x"}), "field +type"),
        ("snapshot_copy_start", retyped("completionPercent", 0), "integer, not number"),
        ("snapshot_copy_start", retyped("incremental", None), "null, not boolean"),
        ("snapshot_errors_404", without_header("x-ms-failure-cause"), "header -x-ms-failure"),
        ("snapshot_errors_404", with_status({404: 409}), "status 409, not 404"),
        ("snapshot_grant_revoke_access", renamed("output", "result"), "-properties.output"),
        ("snapshot_grant_revoke_access", with_header("Retry-After"), "header +Retry-After"),
        ("sdk_disks_and_grant_access", without_header("Retry-After"), "header -Retry-After"),
        ("swagger_examples_disk_restore_point", renamed("familyId", "family"), "-properties.fam"),
    ],
)
def test_a_wrong_answer_is_found(
    monkeypatch: pytest.MonkeyPatch, scenario: str, mutation: Mutation, complaint: str
) -> None:
    handle = App.handle

    def mutated(app: App, request: Any) -> Delivery:
        delivery = handle(app, request)
        if not request.path.startswith("/subscriptions"):
            return delivery
        return Delivery(mutation(delivery.response), delivery.fault)

    monkeypatch.setattr(App, "handle", mutated)
    complaints = judge(scenario, play(scenario, TABLE[scenario]))
    assert any(complaint in line for line in complaints), complaints
