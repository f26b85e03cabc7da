"""DeepSeek's error answers."""

from deepseek_messages.upstreams.double.errors import Refused, invalid, unreadable


def test_the_message_is_read_out_of_the_body():
    assert invalid("Nö").message == "Nö"
    assert unreadable("x").message == "Failed to parse the request body as JSON: x"
    assert Refused(404, b"", None).message == ""


def test_a_body_is_compact_and_not_escaped():
    assert (
        invalid("Nö").body
        == (
            '{"error":{"message":"Nö","type":"invalid_request_error","param":null,'
            '"code":"invalid_request_error"}}'
        ).encode()
    )


def test_the_length_of_a_published_body():
    assert len(invalid("This response_format type is unavailable now").body) == 143
