"""What the peers are told: only loopback, nothing that calls home. None is started here."""

from pathlib import Path

import pytest

from bench.peers.programs import PEERS, Peer


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_a_peer_knows_no_address_but_loopback(peer: Peer, tmp_path: Path) -> None:
    started = peer.start(tmp_path / "installed", tmp_path, 18_000, 18_001)
    said = [*started.command, *started.environment.values()]
    said += [file.read_text() for file in tmp_path.rglob("*") if file.is_file()]
    told = " ".join(said)
    assert "http://127.0.0.1:18001" in told
    assert "https://" not in told
    assert told.count("http://") == told.count("http://127.0.0.1:18001")
    assert "0.0.0.0" not in told


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_a_peer_is_pinned(peer: Peer) -> None:
    assert peer.name.rpartition(" ")[2][0].isdigit()
