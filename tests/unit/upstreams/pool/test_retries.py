"""Which faults are tried again, and where; how long to wait; how many retries there may be."""

import pytest

from deepseek_messages.translation import faults
from deepseek_messages.translation.faults import Fault, FaultKind, from_status
from deepseek_messages.upstreams.pool.retries import (
    LONGEST_WAIT,
    RESERVE,
    REST,
    Blame,
    RetryBudget,
    Verdict,
    blame,
    verdict,
    wait_before,
)


def status(number: int, message: str = "no", *, own: bool = True) -> Fault:
    body = f'{{"error":{{"message":"{message}"}}}}'.encode()
    return from_status(number, {}, body, own_credential=own)


CASES = [
    ("connect", faults.connect("no"), Verdict.AGAIN, Blame.FAILURE),
    ("cut", faults.cut(), Verdict.AGAIN, Blame.FAILURE),
    ("silence", faults.timeout("no"), Verdict.ELSEWHERE, Blame.FAILURE),
    ("garbage", faults.garbage("no"), Verdict.ELSEWHERE, Blame.FAILURE),
    ("busy", faults.busy("no"), Verdict.AGAIN, Blame.BUSY),
    ("reported", faults.reported('{"message":"boom"}'), Verdict.AGAIN, Blame.FAILURE),
    ("no resources", faults.reported('{"type":"overloaded"}'), Verdict.AGAIN, Blame.BUSY),
    ("400", status(400), Verdict.FINAL, Blame.NONE),
    ("422", status(422), Verdict.FINAL, Blame.NONE),
    ("413", status(413), Verdict.FINAL, Blame.NONE),
    ("401", status(401), Verdict.ELSEWHERE, Blame.BARRED),
    ("402", status(402), Verdict.ELSEWHERE, Blame.BARRED),
    ("403", status(403), Verdict.ELSEWHERE, Blame.BARRED),
    ("404", status(404, "no such model"), Verdict.ELSEWHERE, Blame.NONE),
    ("408", status(408), Verdict.AGAIN, Blame.FAILURE),
    ("429", status(429), Verdict.AGAIN, Blame.BUSY),
    ("500", status(500), Verdict.AGAIN, Blame.FAILURE),
    ("502", status(502), Verdict.AGAIN, Blame.FAILURE),
    ("503", status(503), Verdict.AGAIN, Blame.BUSY),
    ("529", status(529), Verdict.AGAIN, Blame.BUSY),
    (
        "overflow",
        status(400, "This model's maximum context length is 10 tokens. However, your request has "
               "20 input tokens"),
        Verdict.ROOMIER,
        Blame.NONE,
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("fault", "word", "whose"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_verdict_and_blame(fault: Fault, word: Verdict, whose: Blame) -> None:
    assert (verdict(fault), blame(fault)) == (word, whose)


def test_redirects_are_not_followed_but_another_server_may_do() -> None:
    fault = Fault(FaultKind.REFUSED, "moved", upstream_status=302, transient=False)
    assert verdict(fault) is Verdict.ELSEWHERE


def test_waits_grow_with_jitter_downwards() -> None:
    fault = faults.connect("no")
    assert [wait_before(fault, tries, lambda: 0.0) for tries in (1, 2, 3, 9)] == [0.5, 1, 2, 8]
    assert wait_before(fault, 1, lambda: 0.8) == pytest.approx(0.4)


def test_retry_after_is_obeyed() -> None:
    assert wait_before(faults.busy("no", retry_after=3), 1, lambda: 0.0) == 3


def test_a_busy_server_is_left_alone_while_it_rests_and_not_by_all_until_the_same_moment() -> None:
    assert wait_before(from_status(429, {}, b""), 1, lambda: 0.0) == REST
    assert wait_before(faults.busy("no", retry_after=4), 1, lambda: 0.8) == pytest.approx(4.8)


def test_a_long_retry_after_is_left_to_the_client() -> None:
    assert wait_before(faults.busy("no", retry_after=LONGEST_WAIT + 1), 1, lambda: 0.0) is None


def test_the_budget_is_a_part_of_the_requests_and_a_reserve() -> None:
    budget = RetryBudget(lambda: 0.0, ratio=0.25)
    for _ in range(40):
        budget.earn()
    assert sum(budget.spend() for _ in range(100)) == RESERVE + 10


def test_the_reserve_comes_back_with_time() -> None:
    now = 0.0
    budget = RetryBudget(lambda: now)
    while budget.spend():
        pass
    now = 4.0
    assert [budget.spend() for _ in range(3)] == [True, True, False]
    now = 1000.0
    assert sum(budget.spend() for _ in range(100)) == RESERVE
