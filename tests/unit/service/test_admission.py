"""Places for answers: so many in all, so many for one caller."""

import pytest

from deepseek_messages.service.admission import Admission
from deepseek_messages.translation.refusals import Refusal
from deepseek_messages.upstreams.places import OwnPlaces


def test_above_the_limit_the_server_is_overloaded() -> None:
    admission = Admission(2)
    admission.enter("a")
    admission.enter("b")
    with pytest.raises(Refusal) as caught:
        admission.enter("c")
    assert (caught.value.status, caught.value.error_type) == (529, "overloaded_error")
    assert caught.value.retry_after is not None
    admission.leave("a")
    admission.enter("c")


def test_a_caller_above_its_share_is_limited_and_others_are_not() -> None:
    admission = Admission(10, per_caller=1)
    admission.enter("a")
    with pytest.raises(Refusal) as caught:
        admission.enter("a")
    assert (caught.value.status, caught.value.error_type) == (429, "rate_limit_error")
    assert caught.value.retry_after is not None
    admission.enter("b")
    admission.leave("a")
    admission.enter("a")


def test_a_refused_caller_takes_no_place() -> None:
    admission = Admission(2, per_caller=1)
    admission.enter("a")
    for _ in range(5):
        with pytest.raises(Refusal):
            admission.enter("a")
    admission.enter("b")
    assert admission.open == 2


def test_callers_without_an_identity_share_the_whole() -> None:
    admission = Admission(3, per_caller=1)
    for _ in range(3):
        admission.enter()
    assert admission.open == 3


def test_nothing_is_remembered_of_callers_who_left() -> None:
    places = OwnPlaces()
    admission = Admission(3, per_caller=2, places=places)
    for name in ("a", "b", "c"):
        admission.enter(name)
        admission.leave(name)
    assert admission.open == 0
    assert not places._held
