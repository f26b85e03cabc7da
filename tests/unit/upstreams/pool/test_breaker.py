"""When a server is left out, for how long, and how it comes back."""

from random import Random

import pytest

from deepseek_messages.upstreams.pool.breaker import (
    BARRED,
    LEAST_SHARE,
    Breaker,
    BreakerLimits,
    Health,
)

LIMITS = BreakerLimits(failures=3, cooldown=5, longest_cooldown=20, return_time=30)


def breaker() -> Breaker:
    return Breaker(LIMITS, lambda: 0.0)


def opened(now: float = 0) -> Breaker:
    made = breaker()
    for _ in range(3):
        made.failed(now)
    return made


def test_it_opens_after_so_many_failures_in_a_row() -> None:
    made = breaker()
    made.failed(0)
    made.failed(0)
    assert made.allows(0)
    made.failed(0)
    assert not made.allows(0)
    assert made.state(0) is Health.OPEN


def test_a_success_in_between_begins_the_row_anew() -> None:
    made = breaker()
    for _ in range(5):
        made.failed(0)
        made.failed(0)
        made.succeeded(0)
    assert made.state(0) is Health.CLOSED


def test_after_the_cooldown_one_request_at_a_time_tries() -> None:
    made = opened()
    assert not made.allows(4.9)
    assert made.opens_at(1) == 5
    assert made.allows(5)
    made.began(5)
    assert not made.allows(5)
    made.abandoned()  # its client left: the next one tries
    assert made.allows(5)


def test_what_ends_meanwhile_is_not_the_trial() -> None:
    made = opened()
    assert made.began(5)
    assert not made.began(5)  # tried all the same, where everybody seems to be down
    made.rests(5, 1)  # as the answer to one that began before
    assert not made.allows(6)


def test_a_failed_trial_doubles_the_cooldown_up_to_the_longest() -> None:
    made, now, waits = opened(), 0.0, []
    for _ in range(4):
        waits.append(made.opens_at(now) - now)
        now = made.opens_at(now)
        made.began(now)
        made.failed(now)
    assert waits == [5, 10, 20, 20]


def test_a_cooldown_longer_than_the_longest_is_kept() -> None:
    made = Breaker(BreakerLimits(failures=1, cooldown=1000), lambda: 0.0)
    made.failed(0)
    assert made.opens_at(0) == 1000
    made.began(1000)
    made.failed(1000)
    assert made.opens_at(1000) == 2000


def test_a_trial_that_succeeds_closes_it_and_its_share_grows_slowly() -> None:
    made = opened()
    made.began(5)
    made.succeeded(5)
    assert made.state(5) is Health.CLOSED
    assert made.share(5) == LEAST_SHARE
    assert made.share(20) == 0.5
    assert made.share(35) == 1
    assert made.share(5) == 1  # it stays whole


def test_failures_of_answers_that_began_earlier_do_not_prolong() -> None:
    made = opened()
    made.failed(3)
    assert made.opens_at(3) == 5


def test_what_was_asked_before_it_opened_tells_nothing_of_it_now() -> None:
    made = breaker()
    old = made.era
    for _ in range(3):
        made.failed(0, since=old)
    made.failed(6, since=old)
    made.barred(6, since=old)
    made.succeeded(6, since=old)
    assert made.state(6) is Health.TRIAL
    made.began(6)
    made.failed(7, since=old)
    made.answers(7, since=old)
    assert not made.allows(7)  # the trial goes on
    made.answers(8, since=made.era)
    assert made.state(8) is Health.CLOSED
    for _ in range(3):
        made.failed(9, since=old)
    assert made.state(9) is Health.CLOSED


def test_many_that_are_refused_at_a_time_are_one_opening() -> None:
    made = breaker()
    since = made.era
    for _ in range(10):
        made.barred(0, since=since)
    now = made.opens_at(0)
    assert now == BARRED
    made.began(now)
    made.failed(now, since=made.era)
    assert made.opens_at(now) == now + 10  # the second opening's


def test_a_question_that_fails_during_a_trial_decides_nothing() -> None:
    made = opened()
    made.began(5)
    made.seems_ill(6)
    assert made.state(6) is Health.TRIAL
    made.abandoned()
    made.seems_ill(7)
    assert made.state(7) is Health.OPEN


def test_answers_that_all_break_in_the_middle_open_it() -> None:
    made = breaker()
    for _ in range(3):
        made.answers(0)
        made.failed(0)
    assert made.state(0) is Health.OPEN
    made.began(5)
    made.answers(5)
    for _ in range(3):
        made.failed(5)
    assert made.opens_at(5) == 5 + 10  # no answer came to its end since the first time


def test_jitter_spreads_the_ends() -> None:
    made = Breaker(LIMITS, lambda: 0.8)
    for _ in range(3):
        made.failed(0)
    assert made.opens_at(0) == 6


def test_rest_is_no_failure_and_ends_by_itself() -> None:
    made = breaker()
    made.rests(0, 7)
    assert made.state(0) is Health.CLOSED
    assert not made.allows(6.9)
    assert made.opens_at(1) == 7
    assert made.allows(7)


def test_a_good_probe_lets_a_request_try_at_once() -> None:
    made = opened()
    made.seems_well(1)
    assert made.state(1) is Health.TRIAL
    assert made.allows(1)


def test_a_good_probe_does_not_help_one_that_refuses_us() -> None:
    made = breaker()
    made.barred(0)
    made.seems_well(1)
    assert made.state(1) is Health.OPEN
    assert made.opens_at(1) == BARRED


@pytest.mark.parametrize("seed", range(200))
def test_whatever_happens_one_trial_at_a_time_and_a_way_back(seed: int) -> None:
    """Requests begin, end in every way and are given up, small questions are asked, time passes."""
    chance = Random(seed)
    made, now = Breaker(LIMITS, chance.random), 0.0
    running: list[tuple[int, bool]] = []  # the era in which it was asked, and whether on trial
    for _ in range(60):
        now += chance.choice([0, 0, 0.5, 3, 30])
        allowed, trial = made.allows(now), (made.era, True) in running
        assert not (allowed and trial and made.state(now) is Health.TRIAL)
        assert 0 < made.share(now) <= 1
        match chance.choice(["ask", "ask", "ask anyway", "ends", "ends", "leaves", "question"]):
            case "ask" if allowed:
                on_trial = made.began(now)
                running.append((made.era, on_trial))
            case "ask anyway":
                on_trial = made.began(now)
                running.append((made.era, on_trial))
            case "ends" if running:
                since, on_trial = running.pop(chance.randrange(len(running)))
                before = made.state(now), made.opens_at(now), made.era
                outcome = chance.choice([made.failed, made.barred, made.answers, made.succeeded])
                outcome(now, since)
                if since < before[2]:
                    assert (made.state(now), made.opens_at(now), made.era) == before
            case "leaves" if running:
                since, on_trial = running.pop(chance.randrange(len(running)))
                if on_trial and since == made.era:
                    made.abandoned()
            case "question":
                chance.choice([made.seems_well, made.seems_ill])(now)
    made.abandoned()
    now = made.opens_at(now)
    assert made.allows(now)
    made.began(now)
    made.succeeded(now, made.era)
    assert made.state(now) is Health.CLOSED
    assert made.share(now + LIMITS.return_time + 1) == 1
