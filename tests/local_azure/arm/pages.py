"""Long lists in pages: ``$top`` and the setting ``limits.page_size``, with a ``nextLink``."""

from __future__ import annotations

import json
from urllib.parse import quote

from ..errors import ArmError
from ..http_types import Request, Response

_TOKEN = "page"


def paged(request: Request, response: Response, size: int, base_url: str) -> Response:
    """The page of a list that a request asks for; any other answer as it is.

    Raises:
        ArmError: 400 for a ``$top`` that is none, or a ``$skiptoken`` from elsewhere.
    """
    if request.method != "GET" or response.status != 200 or not isinstance(response.body, bytes):
        return response
    top = _number(request, "$top")
    start = _start(request)
    if top is None and start == 0 and response.body.count(b'"id"') <= size:
        return response
    body = json.loads(response.body) if response.body.lstrip()[:1] == b"{" else None
    items = body.get("value") if isinstance(body, dict) else None
    if body is None or not isinstance(items, list) or "nextLink" in body:
        return response
    end = start + max(1, min(size, top or size))
    body["value"] = items[start:end]
    if end < len(items):
        query = {**request.query, "$skiptoken": f"{_TOKEN}{end}"}
        text = "&".join(f"{name}={quote(value, safe='')}" for name, value in query.items())
        body["nextLink"] = f"{base_url}{quote(request.path)}?{text}"
    made = json.dumps(body, indent=2).replace("\n", "\r\n").encode()
    headers = {key: value for key, value in response.headers.items() if key != "Content-Length"}
    return Response(200, headers, made)


def _number(request: Request, name: str) -> int | None:
    text = request.query.get(name)
    if text is None:
        return None
    if not text.isdecimal() or int(text) == 0:
        raise ArmError(
            400, "InvalidQueryParameterValue",
            f"The value '{text}' of the query parameter '{name}' is no number above 0.",
            gateway=True,
        )  # fmt: skip
    return int(text)


def _start(request: Request) -> int:
    """Where a page begins; the tokens of lists that page by themselves are bare numbers."""
    token = request.query.get("$skiptoken", "")
    if not token.startswith(_TOKEN):
        return 0
    text = token.removeprefix(_TOKEN)
    if not text.isdecimal():
        raise ArmError(
            400, "InvalidSkipToken", f"The skip token '{token}' is invalid.", gateway=True
        )
    return int(text)
