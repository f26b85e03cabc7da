"""instructor on the official SDK."""

import anthropic
import instructor
from instructor.core import InstructorRetryException
from lines import Order, drive
from pydantic import BaseModel

WHO = [{"role": "user", "content": "Who?"}]


class Person(BaseModel):
    name: str
    age: int


def client(order: Order, mode=instructor.Mode.ANTHROPIC_TOOLS):
    plain = anthropic.Anthropic(
        base_url=f"{order.server}/anthropic", api_key=order.key, max_retries=0
    )
    return instructor.from_anthropic(plain, mode=mode)


def ask(order, **options):
    return {"model": order.model, "max_tokens": 200, "messages": WHO, **options}


def structured(order):
    made = client(order).messages.create(response_model=Person, **ask(order))
    return made.model_dump()


def structured_json(order):
    made = client(order, instructor.Mode.ANTHROPIC_JSON)
    return made.messages.create(response_model=Person, **ask(order)).model_dump()


def structured_stream(order):
    parts = client(order).messages.create_partial(response_model=Person, **ask(order))
    return list(parts)[-1].model_dump()


def structured_thinking(order):
    made = client(order, instructor.Mode.ANTHROPIC_REASONING_TOOLS)
    options = {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 2000}
    return made.messages.create(response_model=Person, **ask(order, **options)).model_dump()


def structured_list(order):
    made = client(order).messages.create_iterable(response_model=Person, **ask(order))
    return {"people": [person.model_dump() for person in made]}


def retried(order):
    """The first answer does not fit the model; instructor asks again with the reason."""
    made = client(order).messages.create(response_model=Person, max_retries=2, **ask(order))
    return made.model_dump()


def error(order):
    try:
        client(order).messages.create(response_model=Person, max_retries=0, **ask(order))
    except InstructorRetryException as failure:
        return {"status": failure.__cause__.status_code, "said": str(failure)}
    return {}


drive(
    structured,
    structured_json,
    structured_stream,
    structured_thinking,
    structured_list,
    retried,
    error,
)
