"""Each failure of an upstream, as the client is told it."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from deepseek_messages.translation import faults
from deepseek_messages.translation.faults import Fault, FaultKind, from_status, reported

OPENAI = {"error": {"message": "Said so", "type": "t", "param": None, "code": "c"}}


def refused(status: int, body: Any = OPENAI, **options: Any) -> Fault:
    headers = options.pop("headers", {})
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return from_status(status, headers, raw, **options)


@pytest.mark.parametrize(
    ("upstream", "status", "error_type", "transient"),
    [
        (400, 400, "invalid_request_error", False),
        (401, 401, "authentication_error", False),
        (402, 402, "billing_error", False),
        (403, 403, "permission_error", False),
        (404, 404, "not_found_error", False),
        (405, 502, "api_error", True),
        (408, 408, "timeout_error", True),
        (409, 409, "conflict_error", True),
        (413, 413, "request_too_large", False),
        (415, 502, "api_error", True),
        (418, 400, "invalid_request_error", False),
        (422, 400, "invalid_request_error", False),
        (429, 429, "rate_limit_error", True),
        (500, 500, "api_error", True),
        (502, 502, "api_error", True),
        (503, 529, "overloaded_error", True),
        (504, 504, "timeout_error", True),
        (520, 502, "api_error", True),
        (529, 529, "overloaded_error", True),
    ],
)
def test_er_07_status(upstream: int, status: int, error_type: str, transient: bool) -> None:
    fault = refused(upstream)
    assert (fault.status, fault.error_type, fault.transient) == (status, error_type, transient)
    assert (fault.kind, fault.upstream_status) == (FaultKind.REFUSED, upstream)
    assert fault.message == "Said so"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (OPENAI, "Said so"),
        ({"error": "Said so"}, "Said so"),
        (
            {"object": "error", "message": "Said so", "type": "BadRequestError", "code": 400},
            "Said so",
        ),
        ({"detail": "Said so"}, "Said so"),
        ({"detail": [{"loc": ["body", "messages", 0], "msg": "Said so"}]}, "messages.0: Said so"),
        ({"error": {"message": {"message": "Said so"}}}, "Said so"),
        ({"type": "error", "error": {"type": "x", "message": "Said so"}}, "Said so"),
        ({"error": {"message": 'Wrapped - {"error": {"message": "Said so"}}'}}, "Said so"),
        ({"error": {"message": 'Wrapped: {"message": "Said so"} \n'}}, "Said so"),
        (
            {"error": {"message": '{"message": "No"} {"message": "no"}'}},
            '{"message": "No"} {"message": "no"}',
        ),
        ("Said so", "Said so"),
        ({"message": "Said so"}, "Said so"),
        ({"msg": "Said so"}, "Said so"),
        ({"error": {"msg": "Said so"}}, "Said so"),
        ({"error": {"message": {"msg": "Said so"}}}, "Said so"),
        ({"error": {"detail": "Said so"}}, "Said so"),
        ({"error": {"code": 1}, "message": "Said so"}, "Said so"),
        ({"error": {"code": 1}, "detail": "Said so"}, "Said so"),
        ({"error": {"code": 1}, "errors": ["Said so"]}, "Said so"),
        ({"detail": ["Said so", {"msg": "and so"}, 5, None, {"loc": "x"}]}, "Said so; and so"),
        ({"detail": [{"loc": ["body", "a"], "msg": "b"}, {"msg": "c"}]}, "a: b; c"),
        ({"errors": [str(n) for n in range(12)]}, "0; 1; 2; 3; 4; 5; 6; 7; 8; 9"),
        (b"Said so <html> and so", "Said so <html> and so"),
        (b"Said so, see </html> " + b"x" * 200, "Said so, see </html> " + "x" * 200),
        (b"502 Bad Gateway</HTML>\n", "the upstream answered with HTTP 400 and no explanation"),
        (b"Said so {", "Said so {"),
        ({"error": {"message": "Said so </b>"}}, "Said so </b>"),
        ({"error": {"message": "Said <b>so</b>\n<html>"}}, "Said <b>so</b> <html>"),
        ({"error": {"message": "<html is what I wanted"}}, "<html is what I wanted"),
        (b"Authentication Fails (governor)", "Authentication Fails (governor)"),
        (b"Said\r\n\tso \x00", "Said so"),
        (b"Said \xff", "Said \ufffd"),
        (b"", "the upstream answered with HTTP 400 and no explanation"),
        (b"{}", "the upstream answered with HTTP 400 and no explanation"),
        (b"[1]", "the upstream answered with HTTP 400 and no explanation"),
        (b'{"error":{"message":', "the upstream answered with HTTP 400 and no explanation"),
        (b"<html><h1>Bad</h1></html>", "the upstream answered with HTTP 400 and no explanation"),
        (b" <!DOCTYPE html>\n<p>", "the upstream answered with HTTP 400 and no explanation"),
        (
            {"error": {"message": "<html><body>Bad</body></html>"}},
            "the upstream answered with HTTP 400 and no explanation",
        ),
        (b"[" * 100_000, "the upstream answered with HTTP 400 and no explanation"),
    ],
)
def test_message(body: Any, message: str) -> None:
    assert refused(400, body).message == message


@pytest.mark.parametrize(
    "body",
    [" " * 4000, "x" + " " * 4000 + "y", "{" * 4000, "{ " * 2000, "}" * 4000, "{}" * 2000 + "x"],
    ids=["blanks", "blanks inside", "begun", "begun and blanks", "ended", "both"],
)
def test_no_message_takes_long_to_read(body: str) -> None:
    """The first of them took half a minute once."""
    assert len(refused(400, json.dumps({"error": body}).encode()).message) <= 2000


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("x" * 2000, "x" * 2000),
        ("x" * 2001, "x" * 1999 + "…"),
        ("x" * 60_000, "x" * 1999 + "…"),
        (" " * 3999 + "said so", "s"),  # no more is looked at
    ],
)
def test_a_long_message_is_cut(given: str, told: str) -> None:
    assert refused(400, given.encode()).message == told


def test_the_callers_key_was_refused() -> None:
    fault = refused(401)
    assert (fault.status, fault.should_retry) == (401, False)


def test_our_own_key_was_refused() -> None:
    fault = refused(401, own_credential=True)
    assert (fault.status, fault.error_type, fault.should_retry) == (502, "api_error", False)
    assert (fault.transient, fault.upstream_status) == (False, 401)
    assert fault.kind is FaultKind.REFUSED
    assert fault.message == "the upstream refused this server's credentials: Said so"
    unexplained = refused(401, b"", own_credential=True).message
    assert unexplained == "the upstream refused this server's credentials: HTTP 401"


def test_404_without_explanation_is_a_wrong_address() -> None:
    fault = refused(404, b"")
    assert (fault.kind, fault.status, fault.upstream_status) == (FaultKind.REFUSED, 502, 404)
    assert fault.message.startswith("the upstream has no such address (HTTP 404)")


def test_rate_limits_are_told() -> None:
    headers = {"x-ratelimit-limit-requests": "60", "x-ratelimit-remaining-requests": "1"}
    assert dict(refused(429, headers=headers).rate_limits)
    assert refused(429).rate_limits == ()
    assert faults.cut().rate_limits == ()


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        (
            {
                "retry-after": "Sun, 22 Nov 2026 10:00:30 GMT",
                "date": "Sun, 22 Nov 2026 10:00:00 GMT",
            },
            30.0,
        ),
        ({"retry-after": "Sun, 22 Nov 2026 10:00:30 GMT"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "1e9"}, None),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "86400"}, 86_400.0),
        ({"retry-after": "86400.5"}, None),
        ({"retry-after-ms": "soon"}, None),
        ({"retry-after-ms": "soon", "date": "Sun, 22 Nov 2026 10:00:00 GMT"}, None),
        ({}, None),
    ],
)
def test_er_08_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    assert refused(429, headers=headers).retry_after == seconds


TOO_LONG = "prompt is too long: 140000 tokens > 131072 maximum"
TOGETHER = (
    "input length and `max_tokens` exceed context limit: 120000 + 32000 > 131072, "
    "decrease input length or `max_tokens` and try again"
)
OUTPUT = (
    "max_tokens: 32000 > 8192, which is the maximum allowed number of output tokens for this model"
)

OVERFLOWS = {
    "DeepSeek, both": (
        (
            "This model's maximum context length is 131072 tokens. However, you requested "
            "152000 tokens (120000 in the messages, 32000 in the completion). Please reduce "
            "the length of the messages or completion."
        ),
        TOGETHER,
    ),
    "DeepSeek, the prompt alone": (
        (
            "This model's maximum context length is 131072 tokens. However, you requested "
            "172000 tokens (140000 in the messages, 32000 in the completion). Please reduce "
            "the length of the messages or completion."
        ),
        TOO_LONG,
    ),
    "OpenAI, with functions": (
        (
            "This model's maximum context length is 131072 tokens. However, you requested "
            "152000 tokens (120000 in the messages, 500 in the functions, and 32000 in the "
            "completion)."
        ),
        TOGETHER,
    ),
    "OpenAI, older": (
        (
            "This model's maximum context length is 131072 tokens, however you requested "
            "152000 tokens (120000 in your prompt; 32000 for the completion)."
        ),
        TOGETHER,
    ),
    "OpenAI, messages": (
        (
            "This model's maximum context length is 131072 tokens. However, your messages "
            "resulted in 140000 tokens."
        ),
        TOO_LONG,
    ),
    "vLLM, max_tokens too large": (
        (
            "'max_tokens' or 'max_completion_tokens' is too large: 32000. This model's "
            "maximum context length is 131072 tokens and your request has 120000 input tokens"
            " (32000 > 131072 - 120000)."
        ),
        TOGETHER,
    ),
    "vLLM, input tokens": (
        (
            "This model's maximum context length is 131072 tokens. However, your request has "
            "140000 input tokens. Please reduce the length of the input messages."
        ),
        TOO_LONG,
    ),
    "vLLM, passed and requested": (
        (
            "You passed 120000 input tokens and requested 32000 output tokens. However, the "
            "model's context length is only 131072 tokens, resulting in a maximum input "
            "length of 99072 tokens. Please reduce the length of the input prompt. "
            "(parameter=input_tokens, value=120000)"
        ),
        TOGETHER,
    ),
    "vLLM, decoder prompt": (
        (
            "The decoder prompt (length 140000) is longer than the maximum model length of "
            "131072. Make sure that `max_model_len` is no smaller than the number of text "
            "tokens."
        ),
        TOO_LONG,
    ),
    "vLLM, total length": (
        "The prompt (total length 140000) is too long to fit the model (context length 131072)",
        TOO_LONG,
    ),
    "vLLM 0.32, the prompt alone": (
        (
            "This model's maximum context length is 131072 tokens. However, your prompt contains "
            "140000 input tokens, which exceeds this limit even without any output tokens. Please "
            "reduce the length of the input prompt. (parameter=input_tokens, value=140000)"
        ),
        TOO_LONG,
    ),
    "vLLM 0.32, max_tokens alone": (
        (
            "max_tokens=32000 cannot be greater than max_model_len=8192. Please request fewer "
            "output tokens. (parameter=max_tokens, value=32000)"
        ),
        OUTPUT,
    ),
    "SGLang, both": (
        (
            "Requested token count exceeds the model's maximum context length of 131072 "
            "tokens. You requested a total of 152000 tokens: 120000 tokens from the input "
            "messages and 32000 tokens for the completion. Please reduce the number of "
            "tokens."
        ),
        TOGETHER,
    ),
    "SGLang, input": (
        "The input (140000 tokens) is longer than the model's context length (131072 tokens).",
        TOO_LONG,
    ),
    "SGLang, input length": (
        (
            "Input length (140000 tokens) exceeds the maximum allowed length (131072 tokens)."
            " Use a shorter input or enable --allow-auto-truncate."
        ),
        TOO_LONG,
    ),
    "llama.cpp": (
        "request (140000 tokens) exceeds the available context size (131072 tokens), try more",
        TOO_LONG,
    ),
    "llama-cpp-python": ("Requested tokens (140000) exceed context window of 131072", TOO_LONG),
    "Anthropic's own": (TOO_LONG, TOO_LONG),
    "without figures": (
        "input length exceeds the context length",
        "prompt is too long: input length exceeds the context length",
    ),
    "DeepSeek, max_tokens": (
        "Invalid max_tokens value, the valid range of max_tokens is [1, 8192]",
        OUTPUT,
    ),
    "OpenAI, max_tokens": (
        (
            "max_tokens is too large: 32000. This model supports at most 8192 completion "
            "tokens, whereas you provided 32000."
        ),
        OUTPUT,
    ),
}


@pytest.mark.parametrize("status", [400, 413, 500])
@pytest.mark.parametrize(("said", "told"), OVERFLOWS.values(), ids=OVERFLOWS)
def test_er_01_er_03_overflow_in_anthropics_words(status: int, said: str, told: str) -> None:
    fault = refused(status, {"error": {"message": said}}, max_tokens=32000)
    assert (fault.status, fault.error_type, fault.message) == (400, "invalid_request_error", told)
    assert not fault.transient


@pytest.mark.parametrize(("said", "told"), OVERFLOWS.values(), ids=OVERFLOWS)
def test_overflow_inside_a_stream(said: str, told: str) -> None:
    fault = reported(json.dumps({"message": said, "code": 400}))
    if "range of max_tokens" not in said:  # there the request's figure is not known
        assert fault.message == told
    assert fault.status == 400


def test_overflow_with_the_figures_beside_the_message() -> None:
    error = {
        "code": 400,
        "message": "the request exceeds the available context size",
        "type": "exceed_context_size_error",
        "n_prompt_tokens": 140000,
        "n_ctx": 131072,
    }
    fault = refused(400, {"error": error})
    assert (fault.message, fault.upstream_status) == (TOO_LONG, 400)


@pytest.mark.parametrize(
    ("prompt", "limit", "said"),
    [
        (4000, 4000, "prompt is too long: 4000 tokens > 4000 maximum"),
        (3999, 4000, "No."),
        ("9000", 4000, "No."),
        (9000, "4000", "No."),
        (9000, None, "No."),
        (True, False, "No."),
    ],
)
def test_only_figures_that_say_so_are_an_overflow(prompt: Any, limit: Any, said: str) -> None:
    error = {"message": "No.", "n_prompt_tokens": prompt, "n_ctx": limit}
    assert refused(400, {"error": error}).message == said


def test_overflow_told_by_its_code_alone() -> None:
    error = {"message": "No.", "code": "context_length_exceeded"}
    assert refused(400, {"error": error}).message == "prompt is too long: No."


def test_deepseeks_range_without_the_requests_figure_stays() -> None:
    said = "Invalid max_tokens value, the valid range of max_tokens is [1, 8192]"
    assert refused(400, {"error": {"message": said}}).message == said


def test_another_400_keeps_its_words() -> None:
    said = "messages[0].content: the maximum is unlike any context you know"
    assert refused(400, {"error": {"message": said}}).message == said


@pytest.mark.parametrize(
    ("error", "status", "error_type"),
    [
        ({"message": "x", "code": 429}, 429, "rate_limit_error"),
        ({"message": "x", "code": "503"}, 529, "overloaded_error"),
        ({"message": "x", "code": 401}, 502, "api_error"),
        ({"message": "x", "code": 1.5}, 502, "api_error"),
        ({"message": "x", "code": None, "type": ["y"]}, 502, "api_error"),
        ({"message": "x", "code": {"a": 1}}, 502, "api_error"),
        ({"message": "x", "type": "overloaded_error"}, 529, "overloaded_error"),
        ({"message": "x", "type": "rate_limit_exceeded"}, 429, "rate_limit_error"),
        ({"message": "x", "type": "BadRequestError"}, 400, "invalid_request_error"),
        ({"message": "x", "code": "no_capacity"}, 529, "overloaded_error"),
        ({"message": "x", "type": "timeout"}, 504, "timeout_error"),
        ("x", 502, "api_error"),
    ],
)
def test_er_04_er_05_reported(error: Any, status: int, error_type: str) -> None:
    fault = reported(json.dumps(error))
    assert (fault.status, fault.error_type, fault.message) == (status, error_type, "x")
    assert fault.kind is FaultKind.REPORTED


@pytest.mark.parametrize("error", ["5", "true", "[]", "[1]", '{"code": 5}', "junk{"])
def test_a_report_without_words_says_so(error: str) -> None:
    assert reported(error).message in {
        "the upstream reported an error in its answer",
        error,
    }


@pytest.mark.parametrize(
    ("fault", "kind", "status", "error_type"),
    [
        (faults.garbage("x"), FaultKind.GARBAGE, 502, "api_error"),
        (faults.cut("x"), FaultKind.CUT, 502, "api_error"),
        (faults.connect("x"), FaultKind.CONNECT, 502, "api_error"),
        (faults.timeout("x"), FaultKind.TIMEOUT, 504, "timeout_error"),
        (faults.busy("x", retry_after=2), FaultKind.BUSY, 529, "overloaded_error"),
    ],
)
def test_other_failures(fault: Fault, kind: FaultKind, status: int, error_type: str) -> None:
    assert (fault.kind, fault.status, fault.error_type) == (kind, status, error_type)
    assert fault.transient
    assert fault.detail().message == "x"


KINDS: dict[str, tuple[Callable[[], Fault], FaultKind, int, float | None]] = {
    "garbage": (lambda: faults.garbage("m"), FaultKind.GARBAGE, 502, None),
    "cut": (lambda: faults.cut("m"), FaultKind.CUT, 502, None),
    "no connection": (lambda: faults.connect("m"), FaultKind.CONNECT, 502, None),
    "silence": (lambda: faults.timeout("m"), FaultKind.TIMEOUT, 504, None),
    "no capacity": (lambda: faults.busy("m"), FaultKind.BUSY, 529, None),
    "no capacity for a while": (
        lambda: faults.busy("m", retry_after=2.0),
        FaultKind.BUSY,
        529,
        2.0,
    ),
    "whatever": (lambda: Fault(FaultKind.REPORTED, "m"), FaultKind.REPORTED, 502, None),
}


@pytest.mark.parametrize(("make", "kind", "status", "retry_after"), KINDS.values(), ids=KINDS)
def test_a_failure_without_a_status(
    make: Callable[[], Fault], kind: FaultKind, status: int, retry_after: float | None
) -> None:
    fault = make()
    assert (fault.kind, fault.status, fault.retry_after) == (kind, status, retry_after)
    assert (fault.message, str(fault)) == ("m", "m")
    assert fault.transient
    assert fault.upstream_status is None
    assert fault.should_retry is None


REPORTS: dict[str, tuple[Any, int, bool, int | None]] = {
    "nothing told": ({"message": "m"}, 502, True, None),
    "a status": ({"status": 429, "message": "m"}, 429, True, 429),
    "a status as text": ({"code": "503", "message": "m"}, 529, True, 503),
    "the first status": ({"status": 400, "message": "m"}, 400, False, 400),
    "another name for it": ({"status_code": 429, "code": 5, "message": "m"}, 429, True, 429),
    "the last status": ({"http_code": 599, "message": "m"}, 502, True, 599),
    "no status": ({"code": 600, "message": "m"}, 502, True, None),
    "credentials of the upstream's own": ({"code": 401, "message": "m"}, 502, True, 401),
    "credit of the upstream's own": ({"code": 402, "message": "m"}, 502, True, 402),
    "rights of the upstream's own": ({"code": 403, "message": "m"}, 502, True, 403),
    "an address of the upstream's own": ({"code": 404, "message": "m"}, 502, True, 404),
    "a word": ({"type": "rate_limit_exceeded", "message": "m"}, 429, True, 429),
    "a prompt that is too long": (
        {"code": "context_length_exceeded", "message": "m"},
        400,
        False,
        None,
    ),
}


@pytest.mark.parametrize(
    ("error", "status", "transient", "upstream"), REPORTS.values(), ids=REPORTS
)
def test_an_error_inside_a_stream(
    error: Any, status: int, transient: bool, upstream: int | None
) -> None:
    fault = reported(json.dumps(error))
    assert (fault.status, fault.transient, fault.upstream_status) == (status, transient, upstream)
    assert fault.kind is FaultKind.REPORTED


def test_a_cut_says_what_happened() -> None:
    assert faults.cut().message == "the upstream's answer ended before it was whole"


@pytest.mark.parametrize(
    ("upstream", "status"), [(399, 502), (418, 400), (499, 400), (501, 502), (599, 502)]
)
def test_a_status_that_nobody_knows(upstream: int, status: int) -> None:
    assert refused(upstream).status == status
