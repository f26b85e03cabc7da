"""LangChain for Python."""

from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage, ToolMessage, convert_to_messages
from langchain_core.tools import tool
from lines import Order, drive
from pydantic import BaseModel

HELLO = [("system", "Be brief."), ("human", "Say hello.")]


class Person(BaseModel):
    """A person."""

    name: str
    age: int


@tool
def get_weather(city: str) -> str:
    """The weather in a city."""
    return "18 C"


def chat(order: Order, **options):
    return ChatAnthropic(
        model=order.model,
        base_url=f"{order.server}/anthropic",
        api_key=order.key,
        max_retries=0,
        **options,
    )


def text(order):
    got = chat(order).invoke(HELLO)
    return {"text": got.text, "tokens": got.usage_metadata["input_tokens"]}


def stream(order):
    pieces = list(chat(order).stream(HELLO))
    whole = pieces[0]
    for piece in pieces[1:]:
        whole += piece
    texts = [piece.text for piece in pieces if piece.text]
    return {"pieces": texts, "tokens": whole.usage_metadata["input_tokens"]}


def tools(order):
    model = chat(order).bind_tools([get_weather])
    history = [HumanMessage("What is the weather in Hangzhou?")]
    return _loop(history, model.invoke)


def tools_stream(order):
    model = chat(order).bind_tools([get_weather])
    history = [HumanMessage("What is the weather in Hangzhou?")]

    def streamed(messages):
        first, *rest = model.stream(messages)
        return sum(rest, first)

    return _loop(history, streamed)


def _loop(history, ask):
    called = []
    while True:
        got = ask(history)
        history.append(got)
        if not got.tool_calls:
            return {"called": called, "text": got.text}
        for call in got.tool_calls:
            called.append(call["args"])
            result = get_weather.invoke(call["args"])
            history.append(ToolMessage(result, tool_call_id=call["id"]))


def structured(order):
    return chat(order).with_structured_output(Person).invoke("Who?").model_dump()


def structured_schema(order):
    model = chat(order).with_structured_output(Person, method="json_schema")
    return model.invoke("Who?").model_dump()


def thinking(order):
    options = {"max_tokens": 4000, "thinking": {"type": "enabled", "budget_tokens": 2000}}
    model = chat(order, **options)
    first = model.invoke(HELLO)
    thoughts = [block["thinking"] for block in first.content if block["type"] == "thinking"]
    second = model.invoke([*HELLO, first, ("human", "And again.")])
    return {"thoughts": thoughts, "texts": [first.text, second.text]}


def count(order):
    return {"tokens": chat(order).get_num_tokens_from_messages(convert_to_messages(HELLO))}


def error(order):
    try:
        chat(order).invoke(HELLO)
    except Exception as failure:  # noqa: BLE001 - its kind is the answer
        return {"status": failure.status_code, "said": str(failure)}
    return {}


def stream_error(order):
    pieces = []
    try:
        for piece in chat(order).stream(HELLO):
            pieces.append(piece.text)  # noqa: PERF401 - kept when it fails
    except Exception as failure:  # noqa: BLE001 - its kind is the answer
        return {"text": "".join(pieces), "said": str(failure)}
    return {"text": "".join(pieces)}


drive(
    text,
    stream,
    tools,
    tools_stream,
    structured,
    structured_schema,
    thinking,
    count,
    error,
    stream_error,
)
