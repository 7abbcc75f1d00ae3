"""POST /batch: several requests in one, as the inventory of azure.azcollection sends them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from ..errors import ArmError
from ..http_types import Headers, Request, Response, json_response

_MOST = 500  # documented for Azure Resource Graph's use of it; assumed here


def is_batch(request: Request) -> bool:
    return request.path.rstrip("/").lower() == "/batch"


def answer_batch(request: Request, answer: Callable[[Request], Response]) -> Response:
    """Answer each request in turn, each with a status, headers and content of its own.

    Args:
        answer: what answers one request.

    Raises:
        ArmError: for a body that is none of a batch.
    """
    if request.method != "POST":
        raise ArmError(
            405, "MethodNotAllowed",
            f"The requested resource does not support http method '{request.method}'.",
        )  # fmt: skip
    return json_response(
        200, {"responses": [_one(request, item, answer) for item in _requests(request)]}
    )


def _requests(request: Request) -> list[dict[str, Any]]:
    try:
        body = request.json()
    except ValueError as error:
        raise _invalid(str(error)) from error
    found = body.get("requests") if isinstance(body, dict) else None
    if not isinstance(found, list) or not 0 < len(found) <= _MOST:
        raise _invalid(f"'requests' is not a list of 1 to {_MOST} requests.")
    for item in found:
        if not isinstance(item, dict) or not isinstance(item.get("url"), str):
            raise _invalid("A request has no 'url'.")
    return found


def _invalid(why: str) -> ArmError:
    return ArmError(
        400, "InvalidRequestContent", f"The request content was invalid: {why}", gateway=True
    )


def _one(
    outer: Request, item: dict[str, Any], answer: Callable[[Request], Response]
) -> dict[str, Any]:
    parts = urlsplit(item["url"])
    target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    body = b"" if item.get("content") is None else json.dumps(item["content"]).encode()
    headers = Headers(outer.headers.items())
    inner = Request(str(item.get("httpMethod") or "GET").upper(), target, headers, body)
    if is_batch(inner):
        raise _invalid("A batch has no batch in it.")
    response = answer(inner)
    made: dict[str, Any] = {
        "httpStatusCode": response.status,
        "headers": {name: value for name, value in response.headers.items() if name != "Date"},
    }
    if isinstance(response.body, bytes) and response.body:
        made["content"] = json.loads(response.body)
        made["contentLength"] = len(response.body)
    if "name" in item:
        made["name"] = item["name"]
    return made
