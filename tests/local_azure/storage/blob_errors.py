"""The storage service's errors: their codes, texts and XML."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from xml.sax.saxutils import escape

from ..http_types import Response

# The service begins its XML with a byte order mark; recorded lengths include it.
XML_START = "\ufeff" + '<?xml version="1.0" encoding="utf-8"?>'

# code: (status, message), as documented for the blob service
_KNOWN: dict[str, tuple[int, str]] = {
    "AuthenticationFailed": (
        403,
        (
            "Server failed to authenticate the request. Make sure the value of Authorization "
            "header is formed correctly including the signature."
        ),
    ),
    "InvalidAuthenticationInfo": (
        401,
        (
            "Server failed to authenticate the request. Please refer to the information in the "
            "www-authenticate header."
        ),
    ),
    "NoAuthenticationInformation": (
        401,
        (
            "Server failed to authenticate the request. Please refer to the information in the "
            "www-authenticate header."
        ),
    ),
    "AuthorizationPermissionMismatch": (
        403,
        "This request is not authorized to perform this operation using this permission.",
    ),
    "BlobNotFound": (404, "The specified blob does not exist."),
    "BlobOverwritten": (409, "The blob has been recreated since the previous snapshot was taken."),
    "ConditionNotMet": (
        412,
        "The condition specified using HTTP conditional header(s) is not met.",
    ),
    "InvalidHeaderValue": (
        400,
        "The value for one of the HTTP headers is not in the correct format.",
    ),
    "InvalidMd5": (400, "The MD5 value specified in the request is invalid."),
    "InvalidPageRange": (416, "The page range specified is invalid."),
    "InvalidQueryParameterValue": (
        400,
        "Value for one of the query parameters specified in the request URI is invalid.",
    ),
    "InvalidRange": (
        416,
        "The range specified is invalid for the current size of the resource.",
    ),
    "Md5Mismatch": (
        400,
        (
            "The MD5 value specified in the request did not match with the MD5 value calculated by "
            "the server."
        ),
    ),
    "MissingRequiredHeader": (
        400,
        "An HTTP header that's mandatory for this request is not specified.",
    ),
    "OperationTimedOut": (500, "Operation could not be completed within the specified time."),
    "OutOfRangeQueryParameterValue": (
        400,
        (
            "One of the query parameters specified in the request URI is outside the permissible "
            "range."
        ),
    ),
    "PreviousSnapshotCannotBeNewer": (
        400,
        (
            "The prevsnapshot query parameter value cannot be newer than snapshot query parameter "
            "value."
        ),
    ),
    "PreviousSnapshotNotFound": (409, "The previous snapshot is not found."),
    "PreviousSnapshotOperationNotSupported": (
        409,
        "Differential Get Page Ranges is not supported on the previous snapshot.",
    ),
    "RequestBodyTooLarge": (
        413,
        "The request body is too large and exceeds the maximum permissible limit.",
    ),
    "ServerBusy": (503, "The server is busy."),
    "UnsupportedHeader": (400, "One of the headers specified in the request is not supported."),
    "UnsupportedHttpVerb": (405, "The resource doesn't support specified Http Verb."),
}


class StorageError(Exception):
    """An answer of the blob service that says no.

    ``details`` become elements beside Code and Message; ``headers`` go into the answer.
    """

    def __init__(
        self,
        code: str,
        details: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        status: int | None = None,
    ) -> None:
        known_status, self.message = _KNOWN[code]
        super().__init__(f"{code}: {self.message}")
        self.code = code
        self.status = known_status if status is None else status
        self.details = dict(details or {})
        self.headers = dict(headers or {})

    def response(self, request_id: str, now: datetime, with_body: bool) -> Response:
        """The answer. HEAD requests and 304 get no body, only ``x-ms-error-code``."""
        headers = {**self.headers, "x-ms-error-code": self.code}
        if not with_body or self.status == 304:
            return Response(self.status, {**headers, "Content-Length": "0"})
        time = now.strftime("%Y-%m-%dT%H:%M:%S.%f") + "0Z"
        details = "".join(
            f"<{name}>{escape(str(value))}</{name}>" for name, value in self.details.items()
        )
        body = (
            f"{XML_START}<Error><Code>{self.code}</Code><Message>{escape(self.message)}\n"
            f"RequestId:{request_id}\nTime:{time}</Message>{details}</Error>"
        ).encode()
        headers |= {"Content-Type": "application/xml", "Content-Length": str(len(body))}
        return Response(self.status, headers, body)


def bad_header(name: str, value: str) -> StorageError:
    """A 400 that names the header."""
    return StorageError("InvalidHeaderValue", {"HeaderName": name, "HeaderValue": value})


def bad_query(name: str, value: str) -> StorageError:
    """A 400 that names the query parameter."""
    return StorageError(
        "InvalidQueryParameterValue", {"QueryParameterName": name, "QueryParameterValue": value}
    )
