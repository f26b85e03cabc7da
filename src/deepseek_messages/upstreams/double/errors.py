"""DeepSeek's error answers: statuses, bodies and content types.

Source: answers of api.deepseek.com published as reproducible tests (July 2026), and the "Error
Codes" page. The JSON is compact with its keys in this order; many validation errors travel as
``application/octet-stream``; some errors are plain text.
"""

import json

JSON_TYPE = "application/json"
OCTETS = "application/octet-stream"
TEXT = "text/plain; charset=utf-8"


class Refused(Exception):
    """The double answers this request with an error. ``content_type`` ``None`` means that the
    header is not sent.
    """

    def __init__(self, status: int, body: bytes, content_type: str | None = OCTETS) -> None:
        self.status = status
        self.body = body
        self.content_type = content_type
        super().__init__(f"{status} {body.decode('utf-8', 'replace')}")

    @property
    def message(self) -> str:
        """The error's text, out of its JSON if it is JSON."""
        try:
            return str(json.loads(self.body)["error"]["message"])
        except (ValueError, KeyError, TypeError):
            return self.body.decode("utf-8", "replace")


def error_body(
    message: str, kind: str = "invalid_request_error", code: str = "invalid_request_error"
) -> bytes:
    """DeepSeek's error object as bytes."""
    error = {"message": message, "type": kind, "param": None, "code": code}
    return json.dumps({"error": error}, ensure_ascii=False, separators=(",", ":")).encode()


def invalid(message: str, content_type: str = OCTETS) -> Refused:
    """400 with DeepSeek's error object."""
    return Refused(400, error_body(message), content_type)


def no_credentials() -> Refused:
    """401 before the key is even looked at: plain text without a type."""
    return Refused(401, b"Authentication Fails (governor)", None)


def bad_key(key: str) -> Refused:
    """401 that shows the key's last four characters."""
    message = f"Authentication Fails, Your api key: ****{key[-4:]} is invalid"
    return Refused(401, error_body(message, "authentication_error"), JSON_TYPE)


def no_balance() -> Refused:
    """402."""
    return Refused(402, error_body("Insufficient Balance", "unknown_error"), JSON_TYPE)


def not_found() -> Refused:
    """404 for a path that does not exist: no body."""
    return Refused(404, b"", None)


def wrong_method() -> Refused:
    """405: no body."""
    return Refused(405, b"", None)


def wrong_content_type() -> Refused:
    """415: plain text."""
    return Refused(415, b"Expected request with `Content-Type: application/json`", TEXT)


def unreadable(detail: str) -> Refused:
    """400 for a body that is not JSON: plain text."""
    text = f"Failed to parse the request body as JSON: {detail}"
    return Refused(400, text.encode(), OCTETS)


def mistyped(detail: str) -> Refused:
    """400 for JSON of the wrong shape."""
    message = f"Failed to deserialize the JSON body into the target type: {detail}"
    return invalid(message, JSON_TYPE)
