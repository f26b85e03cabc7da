import json

import pytest

from deepseek_messages.upstreams.embedded.body import held_body, plain_body
from deepseek_messages.wire.chat import (
    AssistantMessage,
    ChatRequest,
    Function,
    FunctionCall,
    FunctionTool,
    ThinkingSwitch,
    ToolCall,
    UserMessage,
)

REQUEST = ChatRequest(
    model="m",
    messages=[UserMessage("hi")],
    tools=[FunctionTool(Function(name="now"))],
    tool_choice="auto",
    stop=["END"],
    temperature=0.5,
    thinking=ThinkingSwitch("enabled"),
    user_id="u",
    chat_template_kwargs={"enable_thinking": True},
)


def test_every_request_is_streamed_with_progress_and_usage():
    body = json.loads(plain_body(REQUEST))
    assert body["stream"] is True
    assert body["stream_options"] == {"include_usage": True}
    assert body["return_progress"] is True


def test_what_the_engine_takes_passes_and_the_rest_does_not():
    body = json.loads(plain_body(REQUEST))
    assert (body["temperature"], body["stop"], body["tool_choice"]) == (0.5, ["END"], "auto")
    assert body["chat_template_kwargs"] == {"enable_thinking": True}
    assert not {"thinking", "user_id"} & body.keys()


def test_a_tool_without_parameters_gets_empty_ones():
    (tool,) = json.loads(plain_body(REQUEST))["tools"]
    assert tool["function"]["parameters"] == {"type": "object", "properties": {}}


@pytest.mark.parametrize("content", [None, ""])
def test_an_empty_assistant_message_has_content(content):
    request = ChatRequest(model="m", messages=[AssistantMessage(content=content)])
    assert json.loads(plain_body(request))["messages"] == [{"role": "assistant", "content": ""}]


def test_an_assistant_message_with_calls_is_left_as_it_is():
    call = ToolCall(id="1", function=FunctionCall(name="f", arguments='{"a": 1}'))
    request = ChatRequest(model="m", messages=[AssistantMessage(content=None, tool_calls=[call])])
    (message,) = json.loads(plain_body(request))["messages"]
    assert message["content"] is None
    assert message["tool_calls"][0]["function"]["arguments"] == '{"a": 1}'


def test_a_held_answer_keeps_the_tools_in_the_prompt_and_its_text_to_us():
    body = json.loads(held_body(REQUEST, "start: x"))
    assert body["grammar"] == "start: x"
    assert body["tools"]
    assert (body["tool_choice"], body["reasoning_format"]) == ("none", "none")
    assert body["chat_template_kwargs"]["enable_thinking"] is False
    assert "stop" not in body
