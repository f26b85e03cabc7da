"""Anthropic's error envelope, error types and their statuses.

Source: the exception classes of the official SDKs (anthropic 2.12, ``_exceptions.py``), which
choose their class by status and show ``error.message``.
"""

from typing import Literal

from msgspec import UNSET, Struct, UnsetType

ErrorType = Literal[
    "invalid_request_error",
    "authentication_error",
    "billing_error",
    "permission_error",
    "not_found_error",
    "timeout_error",
    "conflict_error",
    "request_too_large",
    "rate_limit_error",
    "api_error",
    "overloaded_error",
]

STATUS_TO_TYPE: dict[int, ErrorType] = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    408: "timeout_error",
    409: "conflict_error",
    413: "request_too_large",
    415: "invalid_request_error",
    429: "rate_limit_error",
    431: "invalid_request_error",
    500: "api_error",
    502: "api_error",
    503: "api_error",
    504: "timeout_error",
    529: "overloaded_error",
}


class ErrorDetails(Struct, frozen=True):
    """``error_code`` refines the type for the SDKs (``thread_unsupported_request`` …)."""

    error_code: str


class ErrorDetail(Struct, frozen=True, kw_only=True):
    type: ErrorType
    message: str
    details: ErrorDetails | UnsetType = UNSET


class ErrorEnvelope(Struct, frozen=True, kw_only=True, tag="error", tag_field="type"):
    """The body of every answer that is not a success."""

    error: ErrorDetail
    request_id: str | None
