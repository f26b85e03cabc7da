"""LlamaIndex."""

from lines import Order, drive
from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.llms.anthropic import Anthropic
from pydantic import BaseModel

HELLO = [ChatMessage(role="system", content="Be brief."), ChatMessage("Say hello.")]


class Person(BaseModel):
    """A person."""

    name: str
    age: int


def get_weather(city: str) -> str:
    """The weather in a city."""
    return "18 C"


def llm(order: Order, **options) -> Anthropic:
    return Anthropic(
        model=order.model,
        base_url=f"{order.server}/anthropic",
        api_key=order.key,
        max_retries=0,
        **options,
    )


def text(order):
    got = llm(order).chat(HELLO)
    return {"text": got.message.content, "tokens": got.raw["usage"].input_tokens}


def stream(order):
    return {"pieces": [piece.delta for piece in llm(order).stream_chat(HELLO) if piece.delta]}


def _loop(order, ask):
    model, tool = llm(order), FunctionTool.from_defaults(get_weather)
    history = [ChatMessage("What is the weather in Hangzhou?")]
    called = []
    while True:
        got = ask(model, [tool], history)
        history.append(got.message)
        calls = model.get_tool_calls_from_response(got, error_on_no_tool_call=False)
        if not calls:
            return {"called": called, "text": got.message.content}
        for call in calls:
            called.append(call.tool_kwargs)
            history.append(
                ChatMessage(
                    role="tool",
                    content=str(tool.call(**call.tool_kwargs)),
                    additional_kwargs={"tool_call_id": call.tool_id},
                )
            )


def tools(order):
    return _loop(
        order, lambda model, offered, said: model.chat_with_tools(offered, chat_history=said)
    )


def tools_stream(order):
    def ask(model, offered, said):
        *_, last = model.stream_chat_with_tools(offered, chat_history=said)
        return last

    return _loop(order, ask)


def structured(order):
    return llm(order).as_structured_llm(Person).complete("Who?").raw.model_dump()


def thinking(order):
    options = {"max_tokens": 4000, "temperature": 1.0}
    model = llm(order, thinking_dict={"type": "enabled", "budget_tokens": 2000}, **options)
    first = model.chat(HELLO)
    kinds = {block.block_type for block in first.message.blocks}
    thoughts = [b.content for b in first.message.blocks if b.block_type == "thinking"]
    second = model.chat([*HELLO, first.message, ChatMessage("And again.")])
    assert "thinking" in kinds
    return {"thoughts": thoughts, "texts": [first.message.content, second.message.content]}


def error(order):
    try:
        llm(order).chat(HELLO)
    except Exception as failure:  # noqa: BLE001 - its kind is the answer
        return {"status": failure.status_code, "said": str(failure)}
    return {}


def stream_error(order):
    pieces = []
    try:
        for piece in llm(order).stream_chat(HELLO):
            pieces.append(piece.delta or "")  # noqa: PERF401 - kept when it fails
    except Exception as failure:  # noqa: BLE001 - its kind is the answer
        return {"text": "".join(pieces), "said": str(failure)}
    return {"text": "".join(pieces)}


drive(text, stream, tools, tools_stream, structured, thinking, error, stream_error)
