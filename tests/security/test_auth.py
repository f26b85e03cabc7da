"""Who is let in: every mode with every combination of credentials."""

import hashlib
import http.client
import json
from collections.abc import Callable

import pytest

from deepseek_messages.store.keys import KeyFile
from tests.support.app import Served, served
from tests.support.client import HELLO, read_reply
from tests.support.gates import WAIT_SECONDS

KEY = "dsm-the-right-key"
OTHER = "dsm-another-key"
DIGESTS = tuple(hashlib.sha256(key.encode()).hexdigest() for key in (KEY, OTHER))

KEYS = {"mode": "keys", "key_digests": DIGESTS}
PASS = {"mode": "pass-through"}
OPEN = {"mode": "open"}

BEARER, WRONG_BEARER = f"Bearer {KEY}", "Bearer dsm-wrong"

# mode, headers, status, what the upstream is given
TABLE = [
    ("keys, none", KEYS, {}, 401, None),
    ("keys, bearer", KEYS, {"authorization": BEARER}, 200, None),
    ("keys, bearer in lower case", KEYS, {"authorization": f"bearer {KEY}"}, 200, None),
    ("keys, x-api-key", KEYS, {"x-api-key": KEY}, 200, None),
    ("keys, second key", KEYS, {"x-api-key": OTHER}, 200, None),
    ("keys, both", KEYS, {"authorization": BEARER, "x-api-key": KEY}, 200, None),
    ("keys, wrong bearer", KEYS, {"authorization": WRONG_BEARER}, 401, None),
    ("keys, wrong x-api-key", KEYS, {"x-api-key": "dsm-wrong"}, 401, None),
    ("keys, wrong and right", KEYS, {"authorization": WRONG_BEARER, "x-api-key": KEY}, 200, None),
    ("keys, empty bearer", KEYS, {"authorization": "Bearer "}, 401, None),
    ("keys, empty and right", KEYS, {"authorization": "Bearer ", "x-api-key": KEY}, 200, None),
    ("keys, no scheme", KEYS, {"authorization": KEY}, 401, None),
    ("keys, basic", KEYS, {"authorization": f"Basic {KEY}"}, 401, None),
    ("keys, beginning of a key", KEYS, {"x-api-key": KEY[:-1]}, 401, None),
    ("keys, key and more", KEYS, {"x-api-key": KEY + "x"}, 401, None),
    ("keys, digest instead of key", KEYS, {"x-api-key": DIGESTS[0]}, 401, None),
    ("keys, not ASCII", KEYS, {"x-api-key": "dsm-\xfc\xff"}, 401, None),
    ("keys, inner blank", KEYS, {"x-api-key": f"{KEY} {KEY}"}, 401, None),
    ("keys, very long", KEYS, {"x-api-key": "k" * 8_000}, 401, None),
    ("keys, SQL", KEYS, {"authorization": "Bearer ' OR 1=1 --"}, 401, None),
    ("no keys at all", {"mode": "keys"}, {"x-api-key": ""}, 401, None),
    ("pass, none", PASS, {}, 401, None),
    ("pass, bearer", PASS, {"authorization": "Bearer sk-mine"}, 200, "sk-mine"),
    ("pass, x-api-key", PASS, {"x-api-key": "sk-mine"}, 200, "sk-mine"),
    ("pass, both", PASS, {"authorization": "Bearer sk-b", "x-api-key": "sk-x"}, 200, "sk-b"),
    ("pass, blank", PASS, {"x-api-key": "   "}, 401, None),
    ("pass, not a header value", PASS, {"x-api-key": "sk-\xe9"}, 401, None),
    ("open, none", OPEN, {}, 200, None),
    ("open, any", OPEN, {"authorization": "Bearer whatever"}, 200, None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("auth", "headers", "status", "credential"),
    [row[1:] for row in TABLE],
    ids=[row[0] for row in TABLE],
)
def test_credentials(
    server: Callable[..., Served],
    auth: dict[str, object],
    headers: dict[str, str],
    status: int,
    credential: str | None,
) -> None:
    s = server(str(auth), auth=auth)
    reply = s.client.ask("POST", "/v1/messages", HELLO, headers)
    assert reply.status == status
    if status == 401:
        assert reply.error()[1] == "authentication_error"
        assert reply.headers["x-should-retry"] == "false"
        assert s.upstream.played == []
    else:
        assert s.upstream.played[0].call.credential == credential


def test_a_key_made_or_removed_while_serving_counts_at_once() -> None:
    with served(auth={"mode": "keys"}) as s:
        file = KeyFile(s.state / "keys")
        key = file.create("late")
        assert s.client.post(HELLO, x_api_key=key).status == 200
        file.remove("late")
        assert s.client.post(HELLO, x_api_key=key).status == 401


def test_a_key_that_was_removed_opens_no_connection_that_is_kept() -> None:
    """The checks of a head that a connection has sent before are remembered."""
    with served(auth={"mode": "keys"}) as s:
        file = KeyFile(s.state / "keys")
        fields = {"x-api-key": file.create("late"), "content-type": "application/json"}
        connection = http.client.HTTPConnection(s.app.host, s.app.port, timeout=WAIT_SECONDS)

        def ask() -> int:
            connection.request("POST", "/v1/messages", json.dumps(HELLO), fields)
            return read_reply(connection).status

        assert [ask() for _ in range(3)] == [200] * 3
        file.remove("late")
        assert ask() == 401
        connection.close()


def test_a_flood_of_wrong_keys_on_kept_connections_reaches_nothing() -> None:
    """Also on connections whose head is known, with keys that are all new or always the same."""
    with served(auth=KEYS) as s:
        connections = [
            http.client.HTTPConnection(s.app.host, s.app.port, timeout=WAIT_SECONDS)
            for _ in range(4)
        ]
        for number in range(100):
            for place, connection in enumerate(connections):
                key = "dsm-wrong" if place % 2 else f"dsm-wrong-{number}"
                connection.request("POST", "/v1/messages", json.dumps(HELLO), {"x-api-key": key})
                assert read_reply(connection).status == 401
        assert s.upstream.played == []
        assert s.client.post(HELLO, x_api_key=KEY).status == 200
        for connection in connections:
            connection.close()
