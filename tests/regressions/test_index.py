"""Every regression case has a test, or a reason why it cannot occur here.

The cases were gathered from public issue trackers of servers that put the Anthropic Messages API in
front of other models. Most are named by the tests beside this file (``test_tc_01_04_...`` proves
TC-01 and TC-04) or by tests of the part that deals with them; ``ELSEWHERE`` points at those whose
tests are named for what they do.

Not applicable, since they are about how other products are packaged or what only they have:

DP-02  a binary fetched at the first start: the server starts from its wheels alone
DP-03  Node.js and a native database module: pure Python and wheels
PF-04  a viewer of stored bodies: no body is stored
DP-05  seconds until the first answer, idle memory: figures of the benchmark, not of a test
SE-02  keys that make keys through the API: no route makes or changes a key
SE-12  image URLs fetched by the server: it fetches none (they are passed on or noted)
"""

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent.parent

GROUPS = {
    "CT": "01 03 04 05 07",
    "DP": "01 02 03 04 05",
    "ER": "01 03 04 05 07 08 09 11 12 13 15 16 17",
    "KA": "01 03 04 05 07",
    "LK": "01 03 04 05 07 08 09",
    "MO": "01 03 04 05",
    "PF": "01 02 03 04",
    "SC": "01 03 04 05 07 08 09",
    "SE": "01 02 03 04 05 06 07 08 09 10 11 12 13 14",
    "SR": "01 03 04 05 07 08",
    "SSE": "01 03 04 05 07 08 09 11 12 13 15 16 17 19 20 21",
    "SY": "01 03 04 05 07 08 09 11 12 13",
    "TC": "01 03 04 05 07 08 09 11 12 13 15 16 17 19 20 21 23 24 25 27 28 29 31 32",
    "TH": "01 03 04 05 07 08 09 11 12 13 15 16 17 19 20",
    "US": "01 03 04 05 07 08 09 11 12 13",
    "WS": "01 03 04",
}
CASES = [f"{group}-{number}" for group, numbers in GROUPS.items() for number in numbers.split()]

NOT_APPLICABLE = {"DP-02", "DP-03", "DP-05", "PF-04", "SE-02", "SE-12"}

HTTP, PROMPT = "unit/upstreams/chat/test_chat_http.py", "unit/prompt/test_counting.py"
AGAIN = "unit/upstreams/pool/test_pool_again.py"

ELSEWHERE = {
    "CT-05": "unit/service/test_counting.py::test_deepseek_is_counted_here_exactly",
    "DP-01": "docs/test_prose.py::test_lock_holds_every_dependency",
    "DP-04": f"{HTTP}::test_no_proxy_excludes_a_host",
    "KA-05": f"{HTTP}::test_comments_before_a_stream_are_keep_alives",
    "KA-07": "unit/web/test_protocol.py::test_a_long_answer_is_not_cut_by_the_head_clock",
    "LK-01": "unit/web/test_watch.py::test_gone_in_the_middle_of_a_stream",
    "LK-03": "unit/web/test_watch.py::test_gone_while_a_whole_answer_is_made",
    "LK-04": f"{AGAIN}::test_a_client_that_leaves_during_the_wait_ends_it",
    "LK-05": f"{HTTP}::test_a_kept_connection_that_died_is_replaced_at_once",
    "LK-07": f"{HTTP}::test_an_expired_connection_is_not_used_again",
    "LK-08": "security/test_raw_http.py::test_memory_stays_flat_under_a_flood_of_hostile_bytes",
    "LK-09": "unit/web/test_streaming.py::test_a_client_that_does_not_read_holds_the_upstream_back",
    "PF-01": "unit/service/test_counting.py::test_what_is_long_is_not_counted_on_the_event_loop",
    "PF-02": "property/test_prefix.py::test_each_prompt_begins_with_the_one_before",
    "PF-03": f"{PROMPT}::test_a_conversation_that_grew_by_one_turn_costs_its_new_turn",
    "SC-01": "conformance/test_captures.py::test_answered",
    "SE-01": "security/test_auth.py::test_credentials",
    "SE-03": "docs/test_prose.py::test_lock_names_no_index_and_hashes_everything",
    "SE-04": "unit/settings/test_rules.py::test_unsafe_or_unusable",
    "SE-05": "security/test_routes.py::test_a_stranger_gets_no_further_than_public_routes",
    "SE-06": "security/test_auth.py::test_credentials",
    "SE-07": "unit/web/test_serve.py::test_a_first_key_is_made_once",
    "SE-08": "security/test_canary.py::test_answers",
    "SE-09": "unit/store/test_keys.py::test_a_key_is_shown_once_and_stored_as_a_digest",
    "SE-10": f"{HTTP}::test_only_listed_headers_go_up",
    "SE-11": "unit/cli/test_check.py::test_set_up_that_works",
    "SE-13": "security/test_sources.py::test_a_preflight_from_elsewhere_gets_no_leave",
    "SE-14": "unit/store/test_keys.py::test_keys_differ",
    "SSE-15": "conformance/test_rounds.py::test_tool_search_goes_on_with_the_tool_it_found",
    "US-13": "unit/translation/test_prices.py::test_each_token_is_priced_once_by_its_bucket",
}

_GROUP = "|".join(GROUPS)
_NAMED = re.compile(
    rf"\b(?:test_)?({_GROUP})[-_ ]?(\d\d(?:[_-](?:(?:{_GROUP})[-_]?)?\d\d)*)(?!\d)", re.IGNORECASE
)


TO_BE_NAMED = [case for case in CASES if case not in NOT_APPLICABLE | ELSEWHERE.keys()]


def named_cases() -> set[str]:
    """The cases that tests name."""
    found = set()
    for path in TESTS.rglob("test_*.py"):
        if path == Path(__file__).resolve():
            continue
        for group, numbers in _NAMED.findall(path.read_text(encoding="utf-8")):
            found |= {f"{group.upper()}-{number}" for number in re.findall(r"\d\d", numbers)}
    return found


@pytest.fixture(scope="module")
def named() -> set[str]:
    return named_cases()


@pytest.mark.parametrize("case", TO_BE_NAMED)
def test_case_is_named_by_a_test(case: str, named: set[str]) -> None:
    assert case in named


@pytest.mark.parametrize(("case", "place"), ELSEWHERE.items(), ids=ELSEWHERE)
def test_case_is_proven_where_the_table_says(case: str, place: str) -> None:
    name, _, function = place.partition("::")
    tree = ast.parse((TESTS / name).read_text(encoding="utf-8"))
    functions = {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert function in functions, case
