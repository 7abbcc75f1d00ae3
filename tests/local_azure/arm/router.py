"""From a method and a path to the handler that serves it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote

from ..errors import ArmError
from ..http_types import Request, Response
from .body_checks import check_body
from .request_checks import check_content

GROUP = "/subscriptions/{subscription}/resourceGroups/{group}"
SUBSCRIPTION = "/subscriptions/{subscription}"
COMPUTE = "/providers/Microsoft.Compute"


@dataclass
class Call:
    """A request on its way to a handler, with the values taken from its path."""

    request: Request
    params: dict[str, str]

    def __getitem__(self, name: str) -> str:
        return self.params[name]

    @property
    def api_version(self) -> str:
        return self.request.query.get("api-version", "")

    def body(self) -> dict:
        """The JSON object of the request.

        Raises:
            ArmError: when the body is not a JSON object, or not of the form of its resource.
        """
        try:
            body = self.request.json()
        except ValueError as error:
            raise ArmError(
                400, "InvalidRequestContent", f"The request content was invalid: {error}"
            ) from error
        if not isinstance(body, dict):
            raise ArmError(400, "InvalidRequestContent", "The request content is not an object.")
        check_content(self.request.method, body)
        check_body(self.request.method, self.request.path, self.request.body, body)
        return body


Handler = Callable[[Call], Response]


class Router:
    """Routes by method and path template; literal path parts match in any casing."""

    def __init__(self) -> None:
        self._routes: list[tuple[str, re.Pattern[str], Handler]] = []

    def add(self, method: str, template: str, handler: Handler) -> None:
        pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(template))
        self._routes.append((method, re.compile(f"{pattern}/?$", re.IGNORECASE), handler))

    def find(self, request: Request) -> tuple[Handler, Call] | None:
        """The handler and its call, or ``None`` where no template matches.

        Raises:
            ArmError: 405 when the path is known, but not with this method.
        """
        known = False
        for method, pattern, handler in self._routes:
            match = pattern.match(request.path)
            if not match:
                continue
            if method == request.method:
                params = {key: unquote(value) for key, value in match.groupdict().items()}
                return handler, Call(request, params)
            known = True
        if known:
            raise ArmError(
                405,
                "MethodNotAllowed",
                f"The requested resource does not support http method '{request.method}'.",
            )
        return None
