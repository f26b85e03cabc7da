"""OpenAI's SDK, for programs that list models in its way."""

import openai
from lines import Order, drive


def client(order: Order) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{order.server}/v1", api_key=order.key, max_retries=0)


def models(order):
    listed = list(client(order).models.list())
    one = client(order).models.retrieve(order.model)
    return {
        "ids": [model.id for model in listed],
        "kinds": sorted({model.object for model in listed}),
        "created": [model.created for model in listed],
        "owners": sorted({model.owned_by for model in listed}),
        "one": one.id,
    }


def missing(order):
    try:
        client(order).models.retrieve("no-such-model")
    except openai.NotFoundError as failure:
        return {"status": failure.status_code, "said": str(failure)}
    return {}


drive(models, missing)
