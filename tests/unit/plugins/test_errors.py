"""Errors: one sentence, the same keys always, nothing secret."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils import _azure_errors as azure_errors
from ansible_collections.vmguard.azure.plugins.module_utils import _errors as errors
from ansible_collections.vmguard.azure.plugins.module_utils import _secrets as secrets
from ansible_collections.vmguard.azure.plugins.module_utils._query import apply_query
from azure.core import exceptions as azure

KEYS = {"code", "message", "operation", "resource", "request_id", "hint"}
SIG = "Zm9vYmFyYmF6cXV4%2Fabc%3D"
TOKEN = "eyJ0eXAiOiJKV1QifQ.eyJhdWQiOiJodHRwcyJ9.c2lnbmF0dXJl"


class Answer:
    """As much of an HTTP response as the exceptions look at."""

    def __init__(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        self.status_code = status
        self.reason = "The reason"
        self.headers = headers or {}
        self._text = body if isinstance(body, str) else json.dumps(body)

    def text(self) -> str:
        return self._text


def refused(status: int, code: str, message: str, **headers: str) -> azure.HttpResponseError:
    body = {"error": {"code": code, "message": message}}
    kind = {401: azure.ClientAuthenticationError, 404: azure.ResourceNotFoundError}.get(
        status, azure.HttpResponseError
    )
    return kind(response=Answer(status, body, {k.replace("_", "-"): v for k, v in headers.items()}))


def translated(error: Exception) -> errors.VmguardError:
    return azure_errors.from_azure(error, operation="create restore point", resource="rp-1")


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"https://md-x.blob.core.windows.net/y/abcd?sv=2018&sr=b&sig={SIG}", SIG),
        (f"GET /y/abcd?sig={SIG}&sv=2018 failed", SIG),
        (f"a='sig={SIG}'", SIG),
        (f'{{"accessSAS": "https://md-x.blob.core.windows.net/y?sv=1&sig={SIG}"}}', SIG),
        (f"https%3A%2F%2Fhost%2Fa%3Fsv%3D1%26sig%3D{SIG}", SIG),
        (f"Authorization: Bearer {TOKEN}", TOKEN),
        (f"the token {TOKEN} is", TOKEN),
        ('{"access_token": "opaque-1234567890"}', "opaque-1234567890"),
        (r"{\"accessToken\": \"opaque-1234567890\"}", "opaque-1234567890"),
        ("grant_type=client_credentials&client_secret=s3cr~t.value&scope=x", "s3cr~t.value"),
        ("{'client_secret': 's3cr~t'}", "s3cr~t"),
        ("AccountName=a;AccountKey=Zm9v/YmFy+a==;EndpointSuffix=x", "Zm9v/YmFy+a=="),
        ("AZURE_SECRET=hunter2-hunter2", "hunter2-hunter2"),
        ("{'password': 'two words'}", "two words"),
        ("passphrase=correct-horse", "correct-horse"),
        ("-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----", "MIIE"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE", "MIIE"),
        (f"https://management.azure.com/o/1?api-version=1&t=6&c={'A' * 40}&s={'B' * 40}", "B" * 40),
    ],
)
def test_scrub_removes(text: str, secret: str) -> None:
    assert secret not in secrets.scrub(text)
    assert secrets.HIDDEN in secrets.scrub(text)


@pytest.mark.parametrize(
    "text",
    [
        "AADSTS7000215: Invalid client secret provided. Ensure the secret being sent is the value.",
        "The client secret is wrong. Give its value to the option secret, or to AZURE_SECRET.",
        "https://management.azure.com/subscriptions/1?api-version=2022-12-01",
        "Disk 'design=big' of size 4",
        "a password: it must not be empty",
    ],
)
def test_scrub_leaves_the_rest(text: str) -> None:
    assert secrets.scrub(text) == text


def test_scrub_removes_known_values() -> None:
    assert secrets.scrub("a pa55 b", "pa55", None, "") == "a *** b"


def test_every_field_is_scrubbed() -> None:
    text = f"x?sig={SIG}"
    error = errors.AzureError(
        text, code=text, operation=text, resource=text, request_id=text, hint=text, status=500
    )
    assert SIG not in str(error) + repr(error) + json.dumps(error.failure())
    assert errors.InputError("got pa55", secrets=["pa55"]).message == "got ***"


@pytest.mark.parametrize(
    "kind",
    [
        errors.InputError, errors.AuthError, errors.ConnectionFailed, errors.NotFound,
        errors.Conflict, errors.AzureError, errors.Throttled, errors.OperationFailed,
        errors.OperationTimeout, errors.WriteRefused, errors.MissingLibrary,
    ],
)  # fmt: skip
def test_failure_has_every_key(kind: type[errors.VmguardError]) -> None:
    failure = kind("It is wrong.").failure()
    assert failure.keys() == KEYS
    assert failure["code"] and failure["message"] == "It is wrong."
    assert failure["request_id"] is None


def test_text_names_the_request() -> None:
    error = errors.VmguardError("It is wrong.", request_id="r-1", hint="Do it.")
    assert str(error) == "It is wrong. (request id r-1)"


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "InvalidParameter", errors.AzureError),
        (401, "InvalidAuthenticationToken", errors.AuthError),
        (403, "AuthorizationFailed", errors.AzureError),
        (404, "NotFound", errors.NotFound),
        (404, "ResourceGroupNotFound", errors.NotFound),
        (409, "OperationNotAllowed", errors.Conflict),
        (412, "PreconditionFailed", errors.Conflict),
        (429, "TooManyRequests", errors.Throttled),
        (500, "InternalServerError", errors.AzureError),
        (503, "ServerBusy", errors.AzureError),
        (200, "VMRestorePointClientError", errors.OperationFailed),
    ],
)
def test_statuses(status: int, code: str, kind: type[errors.VmguardError]) -> None:
    error = translated(refused(status, code, "Azure's words.", x_ms_request_id="r-1"))
    assert error.__class__ is kind
    assert error.failure() == {
        "code": code,
        "message": f"create restore point of rp-1 failed: {code}: Azure's words.",
        "operation": "create restore point",
        "resource": "rp-1",
        "request_id": "r-1",
        "hint": error.hint,
    }


def test_unknown_subscription_is_no_missing_resource() -> None:
    """With a mistyped subscription nothing may pass for absent."""
    error = translated(refused(404, "SubscriptionNotFound", "x"))
    assert error.__class__ is errors.AzureError and error.status == 404


def test_throttled_says_how_long() -> None:
    body = {"error": {"code": "TooManyRequests", "message": "x"}}
    answer = Answer(429, body, {"Retry-After": "17"})
    error = translated(azure.HttpResponseError(response=answer))
    assert isinstance(error, errors.Throttled) and error.retry_after == 17.0 and error.hint


def test_details_are_told() -> None:
    body = {"error": {"code": "A", "message": "One.", "details": [{"message": "Two."}]}}
    error = translated(azure.HttpResponseError(response=Answer(400, body)))
    assert error.message.endswith("One. Two.")


@pytest.mark.parametrize("body", ["", "<html>", "[]", "null", '{"a": 1}', '{"error": "text"}'])
def test_bodies_without_a_code(body: str) -> None:
    error = translated(azure.HttpResponseError(response=Answer(502, body)))
    assert error.__class__ is errors.AzureError
    assert error.code == "HTTP502" and "The reason" in error.message


def test_storage_has_its_code_in_a_header() -> None:
    answer = Answer(403, "<Error/>", {"x-ms-error-code": "AuthenticationFailed"})
    error = translated(azure.HttpResponseError(response=answer))
    assert error.code == "AuthenticationFailed" and isinstance(error, errors.AzureError)


ENTRA = "Authentication failed: AADSTS{}: Azure's words. Trace ID: {} Correlation ID: x"
TRACE = "4f6c5d4e-3d0e-4c5a-9a5e-2f2d8e0c0a00"


@pytest.mark.parametrize(
    ("number", "sentence", "hint"),
    [
        ("7000215", "secret is wrong", "not the secret's ID"),
        ("7000222", "secret has expired", "Create a new client secret"),
        ("700016", "(client_id) is unknown", "client_id (AZURE_CLIENT_ID) and tenant"),
        ("90002", "tenant is unknown", "AZURE_TENANT"),
        ("700082", "login has expired", "az login"),
    ],
)
def test_refused_logins(number: str, sentence: str, hint: str) -> None:
    error = translated(azure.ClientAuthenticationError(ENTRA.format(number, TRACE)))
    assert isinstance(error, errors.AuthError)
    assert (error.code, error.request_id) == (f"AADSTS{number}", TRACE)
    assert sentence in error.message and "Azure's words." in error.message
    assert "Trace ID" not in error.message
    assert hint in (error.hint or "")


def test_unknown_entra_code_keeps_azures_words() -> None:
    error = translated(azure.ClientAuthenticationError(ENTRA.format(123, TRACE)))
    assert error.code == "AADSTS123" and "Azure's words." in error.message


def test_unknown_tenant_behind_the_login_library() -> None:
    text = "Authentication failed: Unable to get authority configuration for https://h/nope. Auth"
    error = translated(azure.ClientAuthenticationError(text))
    assert error.code == "AADSTS90002" and "https://h/nope" in error.message


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Azure CLI not found on path", "CliNotFound"),
        ("Please run 'az login' to set up an account", "CliNotLoggedIn"),
        ("Failed to invoke the Azure CLI", "CliFailed"),
        ("ManagedIdentityCredential authentication unavailable, no response from the IMDS", None),
        ("something else", "AuthenticationFailed"),
    ],
)
def test_no_token_on_this_machine(text: str, code: str | None) -> None:
    error = translated(azure.ClientAuthenticationError(text))
    assert isinstance(error, errors.AuthError)
    assert error.code == (code or "ManagedIdentityUnavailable")


class Cause(Exception):
    class request:
        url = "https://user:pw@host.example:8443/metadata/endpoints?sig=abc"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed", "not trusted"),
        ("CERTIFICATE_VERIFY_FAILED] certificate verify failed: Hostname mismatch", "another name"),
        ("certificate verify failed: IP address mismatch, certificate is not", "another name"),
        ("[SSL: WRONG_VERSION_NUMBER]", "TLS handshake"),
        ("Failed to resolve 'x' ([Errno -2] Name or service not known)", "cannot be resolved"),
        ("[Errno 111] Connection refused", "refused"),
        ("Read timed out.", "in time"),
        ("Tunnel connection failed: 407", "proxy"),
        ("[Errno 101] Network is unreachable", "no route"),
        ("('Connection aborted.', RemoteDisconnected())", "before the answer was complete"),
        ("odd", "odd"),
    ],
)
def test_no_connection(text: str, says: str) -> None:
    for kind in (azure.ServiceRequestError, azure.ServiceResponseError):
        error = translated(kind(text, error=Cause()))
        assert isinstance(error, errors.ConnectionFailed)
        assert "https://host.example:8443/metadata/endpoints" in error.message
        assert says in error.message and error.hint
        assert "pw" not in str(error) and "sig=" not in str(error)


def test_connection_lost_behind_a_refused_login() -> None:
    outer = azure.ClientAuthenticationError("Authentication failed: x")
    outer.__cause__ = azure.ServiceRequestError(
        "HTTPSConnectionPool(host='login.example', port=443): Connection refused"
    )
    error = translated(outer)
    assert isinstance(error, errors.ConnectionFailed)
    assert "https://login.example:443" in error.message


@pytest.mark.parametrize(
    "error",
    [
        azure.IncompleteReadError("incomplete", response=Answer(200, "{}")),
        azure.DecodeError("no json", response=Answer(200, "{}")),
        azure.HttpResponseError("broke off", error=OSError("broke off")),
    ],
)
def test_half_an_answer(error: azure.AzureError) -> None:
    assert isinstance(translated(error), errors.ConnectionFailed)


def test_anything_else_and_our_own() -> None:
    ours = errors.InputError("x")
    assert translated(ours) is ours
    assert translated(azure.AzureError("odd")).code == "Failed"


def test_missing_library_says_for_which_python() -> None:
    error = errors.missing_library("jmespath", "for the option query")
    assert isinstance(error, errors.MissingLibrary)
    assert "jmespath is needed for the option query" in error.message
    assert "-m pip install jmespath" in (error.hint or "")


def test_query() -> None:
    result = {"vms": [{"name": "a"}]}
    assert apply_query(None, result) == result
    assert apply_query("vms[].name", result) == {**result, "query_result": ["a"]}


@pytest.mark.parametrize("expression", ["[bad", "", "nothing(@)", "abs('x')", "a ="])
def test_bad_query(expression: str) -> None:
    with pytest.raises(errors.InputError, match="no valid JMESPath"):
        apply_query(expression, {"vms": []})


def test_query_without_jmespath(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "jmespath", None)
    with pytest.raises(errors.MissingLibrary, match="jmespath"):
        apply_query("a", {})
