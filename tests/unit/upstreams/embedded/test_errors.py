import pytest

from deepseek_messages.translation.faults import FaultKind
from deepseek_messages.upstreams.embedded.errors import EngineError, fault_of


def test_an_overflow_is_told_in_anthropics_words_with_its_figures():
    fault = fault_of(EngineError(code=400, message="too long", n_prompt_tokens=24031, n_ctx=8192))
    assert fault.message == "prompt is too long: 24031 tokens > 8192 maximum"
    assert (fault.status, fault.error_type) == (400, "invalid_request_error")
    assert not fault.transient


@pytest.mark.parametrize(
    ("code", "kind", "status", "error_type", "transient"),
    [
        (400, FaultKind.REFUSED, 400, "invalid_request_error", False),
        (422, FaultKind.REFUSED, 400, "invalid_request_error", False),
        (503, FaultKind.BUSY, 529, "overloaded_error", True),
        (500, FaultKind.REPORTED, 502, "api_error", True),
        (501, FaultKind.REPORTED, 502, "api_error", True),
    ],
)
def test_each_code_has_its_fault(code, kind, status, error_type, transient):
    fault = fault_of(EngineError(code=code, message="why"))
    assert (fault.kind, fault.status, fault.error_type) == (kind, status, error_type)
    assert fault.transient is transient
    assert "why" in fault.message


def test_busy_says_when_to_come_back():
    assert fault_of(EngineError(code=503, message="full")).retry_after
