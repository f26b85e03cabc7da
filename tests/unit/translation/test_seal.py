"""Signatures: they restore reasoning, are stable, bounded, and cannot be forged."""

import base64
import random

import pytest

from deepseek_messages.translation import seal
from deepseek_messages.translation.limits import MAX_SIGNATURE_CHARS
from deepseek_messages.translation.seal import MARK, Seal

SEAL = Seal(b"one key")


@pytest.mark.parametrize("text", ["", "a", "因为 \n 🧠" * 500, "x" * 1_000_000])
def test_reasoning_comes_back(text: str) -> None:
    assert SEAL.open(SEAL.seal(text)) == text


def test_another_process_with_the_same_key_opens_it() -> None:
    assert Seal(b"one key").open(SEAL.seal("why")) == "why"


def test_equal_reasoning_gives_equal_signatures() -> None:
    assert SEAL.seal("why") == SEAL.seal("why")


def test_signature_does_not_show_the_reasoning() -> None:
    assert b"secret" not in base64.urlsafe_b64decode(SEAL.seal("secret")[len(MARK) :] + "==")


@pytest.mark.parametrize(
    "signature",
    ["", "sig", "EqQBCkYIBxgCKkD", MARK, MARK + "a", MARK + "!!!!", MARK + "é", MARK + "AAAA" * 9],
)
def test_foreign_or_damaged_signature_counts_for_nothing(signature: str) -> None:
    assert SEAL.open(signature) is None


def test_signature_of_another_key_counts_for_nothing() -> None:
    assert Seal(b"other key").open(SEAL.seal("why")) is None


def test_every_changed_character_is_noticed() -> None:
    signature = SEAL.seal("why not")
    for place in range(len(MARK), len(signature)):
        swapped = "A" if signature[place] != "A" else "B"
        forged = signature[:place] + swapped + signature[place + 1 :]
        assert SEAL.open(forged) in {None, "why not"}  # last character: unused bits only
    assert SEAL.open(signature[:-4]) is None


def test_signature_is_bounded_and_then_only_the_mark() -> None:
    text = random.Random(1).randbytes(MAX_SIGNATURE_CHARS).hex()

    assert SEAL.seal(text) == MARK


@pytest.mark.parametrize(("over", "opens"), [(0, True), (1, False)], ids=["longest", "longer"])
def test_a_signature_that_unpacks_to_too_much_counts_for_nothing(over: int, opens: bool) -> None:
    """A few kilobytes may unpack to gigabytes."""
    text = "a" * (2 * 1024 * 1024 + over)
    assert SEAL.open(SEAL.seal(text)) == (text if opens else None)


def test_overlong_signature_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even one of ours."""
    text = random.Random(1).randbytes(MAX_SIGNATURE_CHARS).hex()
    with monkeypatch.context() as unbounded:
        unbounded.setattr(seal, "MAX_SIGNATURE_CHARS", len(text) * 2)
        signature = SEAL.seal(text)
        assert SEAL.open(signature) == text
    assert SEAL.open(signature) is None


def test_a_callers_seal_opens_its_own_and_nobody_elses() -> None:
    seal = Seal(b"key")
    alice, bob = seal.of("alice"), seal.of("bob")
    signature = alice.seal("a secret thought")
    assert alice.open(signature) == "a secret thought"
    assert bob.open(signature) is None
    assert seal.open(signature) is None
    assert alice.open(seal.seal("the server's own")) is None


def test_a_callers_seal_is_the_same_after_a_restart() -> None:
    signature = Seal(b"key").of("alice").seal("a secret thought")
    assert Seal(b"key").of("alice").open(signature) == "a secret thought"
    assert Seal(b"another key").of("alice").open(signature) is None


def test_without_an_identity_there_is_one_seal() -> None:
    seal = Seal(b"key")
    assert seal.of("") is seal


# Conversations outlive releases: what was sealed once is opened for ever.
PINNED = {
    "": "dsm1.HzfRdV_8yD1qYVrBzznsM6jhB8RM-6rUpiambyRDJQ",
    "alice": "dsm1.4HKU3gCqx9d1RiNZ-VAc-tE5T0A4yFAchsFIE_y3fg",
}


@pytest.mark.parametrize(("caller", "signature"), PINNED.items())
def test_signatures_of_earlier_releases_are_opened(caller: str, signature: str) -> None:
    assert SEAL.of(caller).open(signature) == "why not"


@pytest.mark.parametrize("junk", [" ", "\n", "=", "!", "é"])
def test_a_signature_with_junk_in_it_counts_for_nothing(junk: str) -> None:
    signature = PINNED[""]
    assert SEAL.open(signature[:20] + junk + signature[20:]) is None


def test_the_longest_signature_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    signature = SEAL.seal("why not")
    monkeypatch.setattr("deepseek_messages.translation.seal.MAX_SIGNATURE_CHARS", len(signature))
    assert SEAL.seal("why not") == signature
    assert SEAL.open(signature) == "why not"
    monkeypatch.setattr(
        "deepseek_messages.translation.seal.MAX_SIGNATURE_CHARS", len(signature) - 1
    )
    assert SEAL.seal("why not") == MARK
    assert SEAL.open(signature) is None


def test_half_a_surrogate_pair_is_sealed_as_a_mark() -> None:
    assert SEAL.open(SEAL.seal("a\ud800")) == "a?"
