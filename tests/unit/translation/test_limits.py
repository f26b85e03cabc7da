"""Each limit has its value for a reason, and a test that shows what it holds back.

Who moves a limit moves it here, too, and sees why it is where it is.
"""

from pathlib import Path

import pytest

from deepseek_messages.translation import limits

ROOT = Path(__file__).resolve().parents[3]
KIB, MIB = 1024, 1024 * 1024

UNIT = "tests/unit/"
CLIENTS = "tests/faults/test_clients.py::"
LARGE = "tests/unit/translation/request/test_large.py::"
LISTS = "tests/unit/upstreams/chat/test_model_list.py::"
PROTOCOL = "tests/unit/web/test_protocol.py::"
CHAT = "tests/unit/upstreams/chat/test_chat_http.py::"
STALLED = "tests/faults/test_stalled_reader.py::"
PDF = "tests/unit/service/test_documents.py::"

# The value, and where it is shown what the limit holds back.
LIMITS: dict[str, tuple[float, str]] = {
    "MAX_BODY_BYTES": (32 * MIB, "tests/security/test_raw_http.py::test_hostile_bytes"),
    "MAX_HEAD_BYTES": (32 * KIB, PROTOCOL + "test_large_heads_are_431_in_the_envelope"),
    "MAX_HEADERS": (100, PROTOCOL + "test_large_heads_are_431_in_the_envelope"),
    "HEAD_TIMEOUT": (30, PROTOCOL + "test_a_slow_head_ends_the_connection"),
    "WRITE_TIMEOUT": (60, CLIENTS + "test_a_client_that_never_reads_holds_little_and_is_cut_off"),
    "MAX_UNSENT_BYTES": (
        128 * KIB,
        STALLED + "test_a_stalled_client_makes_the_whole_chain_hold_little",
    ),
    "BODY_IDLE_TIMEOUT": (60, CLIENTS + "test_half_a_body_is_refused_at_its_deadline"),
    "BODY_TIMEOUT": (300, CLIENTS + "test_a_body_that_trickles_is_refused_at_its_deadline"),
    "BODY_DISCARD_FACTOR": (
        4,
        UNIT + "web/test_bodies.py::test_an_absurd_length_is_refused_at_once",
    ),
    "MAX_FRAMING": (8, "tests/security/test_raw_http.py::test_hostile_bytes"),
    "MAX_JSON_DEPTH": (
        128,
        UNIT + "translation/request/test_history.py::"
        "test_the_deepest_input_is_passed_on_and_a_deeper_one_refused",
    ),
    "MAX_MESSAGES": (
        100_000,
        UNIT + "translation/request/test_parse.py::test_as_many_messages_as_may_be_are_accepted",
    ),
    "LARGE_BODY": (256 * KIB, LARGE + "test_a_small_body_is_not_looked_over"),
    "DENSE_BODY": (64 * KIB, LARGE + "test_a_request_of_many_parts_is_for_a_thread"),
    "DENSE_PARTS": (1_000, LARGE + "test_a_request_of_many_parts_is_for_a_thread"),
    "MAX_MARKED_OBJECTS": (
        5_000,
        UNIT + "translation/request/test_parse.py::test_far_too_many_unknown_blocks_are_not_kept",
    ),
    "MAX_OBJECTS": (220_000, LARGE + "test_what_a_request_may_hold"),
    "MAX_VALUES": (750_000, LARGE + "test_what_a_request_may_hold"),
    "MAX_SETTINGS_VALUES": (100_000, LARGE + "test_what_a_request_may_hold"),
    "MAX_MESSAGE_OBJECTS": (50_000, LARGE + "test_what_a_request_may_hold"),
    "MAX_ESCAPES": (4_000_000, LARGE + "test_what_a_request_may_hold"),
    "MAX_STRUCTURE_BYTES": (8 * MIB, LARGE + "test_what_a_request_may_hold"),
    "PING_INTERVAL": (10, UNIT + "web/test_streaming.py::test_pings_fill_silence_in_the_middle"),
    "COMMIT_AFTER": (
        5,
        UNIT + "web/test_streaming.py::"
        "test_a_slow_upstream_gets_an_early_200_with_message_start_and_pings",
    ),
    "FIRST_BYTE_TIMEOUT": (
        600,
        "tests/faults/test_chat_matrix.py::test_a_fault_before_the_answer_is_told",
    ),
    "IDLE_TIMEOUT": (
        240,
        "tests/faults/test_chat_matrix.py::test_a_streamed_answer_ends_as_documented",
    ),
    "SILENCE_AFTER": (
        30,
        UNIT + "upstreams/pool/test_silence.py::"
        "test_one_is_silent_once_the_longest_wait_lasts_so_long_without_a_word",
    ),
    "CONNECT_TIMEOUT": (
        5,
        CHAT + "test_connecting_takes_only_so_long",
    ),
    "MAX_FRAME_BYTES": (
        8 * MIB,
        "tests/faults/test_chat_matrix.py::test_a_streamed_answer_ends_as_documented",
    ),
    "MAX_ANSWER_BYTES": (
        32 * MIB,
        "tests/faults/test_chat_matrix.py::test_a_body_over_the_limit_is_garbage",
    ),
    "MAX_ERROR_BODY_BYTES": (
        64 * KIB,
        CHAT + "test_of_a_long_error_body_the_beginning_is_read_and_the_rest_not_waited_for",
    ),
    "ERROR_BODY_TIMEOUT": (
        5,
        CHAT + "test_an_error_body_that_does_not_end_is_cut",
    ),
    "KEEPALIVE_EXPIRY": (
        4,
        CHAT + "test_an_expired_connection_is_not_used_again",
    ),
    "STALE_WITHIN": (
        3,
        UNIT + "upstreams/http/test_http_connection.py::test_only_what_ends_soon_was_closed_before",
    ),
    "MAX_UPSTREAM_HEAD_BYTES": (
        64 * KIB,
        UNIT + "upstreams/http/test_http_pool.py::test_headers_over_the_limit_are_garbage",
    ),
    "LINGER_TIMEOUT": (
        1,
        CHAT + "test_a_server_that_never_ends_its_body_loses_the_connection_soon",
    ),
    "PROBE_TIMEOUT": (2.5, LISTS + "test_a_silent_server_is_not_waited_for"),
    "MODELS_TTL": (300, LISTS + "test_a_list_is_remembered_and_asked_again_when_old"),
    "READINESS_TTL": (
        5,
        LISTS + "test_a_server_with_a_list_is_ready_and_not_asked_at_every_probe",
    ),
    "MAX_LIST_BYTES": (4 * MIB, LISTS + "test_a_list_is_read_up_to_its_limit"),
    "MAX_SIGNATURE_CHARS": (
        512 * KIB,
        UNIT + "translation/test_seal.py::test_overlong_signature_is_not_read",
    ),
    "MAX_REASONING_BYTES": (
        2 * MIB,
        UNIT + "translation/test_seal.py::"
        "test_a_signature_that_unpacks_to_too_much_counts_for_nothing",
    ),
    "MAX_TOOL_NAME_CHARS": (
        128,
        UNIT + "translation/tools/test_tools.py::test_a_word_is_told_as_a_regular_expression_would",
    ),
    "MAX_TOOL_ID_CHARS": (
        128,
        UNIT + "translation/tools/test_tools.py::test_a_word_is_told_as_a_regular_expression_would",
    ),
    "MAX_SCHEMA_DEPTH": (
        100,
        UNIT + "translation/tools/test_schema.py::test_tc31_bottomless_schema_is_refused_by_name",
    ),
    "COUNT_TIMEOUT": (
        10,
        UNIT
        + "upstreams/chat/test_counting.py::test_a_server_that_counts_for_ever_is_not_waited_for",
    ),
    "MAX_SHOWN_MODELS": (
        32,
        LISTS + "test_ollama_is_asked_about_so_many_models_and_no_more",
    ),
    "MAX_REPEATED_SCHEMA_CHARS": (
        MIB,
        UNIT + "translation/test_toolbook.py::test_repeated_definitions_come_to_an_end",
    ),
    "MAX_PDF_PAGES": (600, PDF + "test_the_pages_of_all_documents_of_a_request_are_limited"),
    "PDF_TIMEOUT": (30, PDF + "test_a_process_that_takes_too_much_is_ended"),
    "PDF_MEMORY_BYTES": (1024 * MIB, PDF + "test_a_process_that_takes_too_much_is_ended"),
}

# What others do first, and after how many seconds: the limit must come before it.
BEFORE = {
    "PING_INTERVAL": (15, "another gateway's users saw streams cut"),
    "IDLE_TIMEOUT": (300, "Claude Code gives up"),
    "KEEPALIVE_EXPIRY": (5, "uvicorn closes its side"),
    "PROBE_TIMEOUT": (3, "Claude Code no longer waits for a model list"),
}


def test_every_limit_is_in_the_table_with_its_value() -> None:
    found = {name: value for name, value in vars(limits).items() if name.isupper()}
    assert found == {name: value for name, (value, _) in LIMITS.items()}


@pytest.mark.parametrize("name", LIMITS)
def test_the_test_of_a_limit_exists(name: str) -> None:
    path, _, test = LIMITS[name][1].partition("::")
    assert f"def {test}(" in (ROOT / path).read_text()


@pytest.mark.parametrize("name", BEFORE)
def test_a_time_is_up_before_somebody_else_loses_patience(name: str) -> None:
    assert getattr(limits, name) < BEFORE[name][0], BEFORE[name][1]


def test_what_is_held_for_a_client_that_does_not_read_stays_below_512_kib() -> None:
    """The system's part, and asyncio's."""
    assert limits.MAX_UNSENT_BYTES + 64 * KIB < 512 * KIB
