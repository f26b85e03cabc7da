"""The models the double serves, as data.

Source: DeepSeek's "Models & Pricing" page and its list of models.
"""

from collections.abc import Mapping

from deepseek_recipe import ModelVersion
from msgspec import Struct


class Hosted(Struct, frozen=True, kw_only=True):
    """What stands behind a model name. ``id`` is the name that answers report; sizes are in
    tokens.
    """

    id: str
    version: ModelVersion
    window: int = 1_048_576
    max_output: int = 393_216
    sees: bool = False
    thinks_by_default: bool = True
    display_name: str = ""


FLASH = Hosted(
    id="deepseek-flash",
    version=ModelVersion.DeepseekV41Flash,
    sees=True,
    display_name="DeepSeek V4.1 Flash",
)
PRO = Hosted(
    id="deepseek-v4-pro", version=ModelVersion.DeepseekV4Pro, display_name="DeepSeek V4 Pro"
)
CHAT = Hosted(
    id="deepseek-flash",
    version=ModelVersion.DeepseekV41Flash,
    sees=True,
    thinks_by_default=False,
)

# Today's names. The names of 2025 are aliases: without and with thinking.
CURRENT: Mapping[str, Hosted] = {
    "deepseek-flash": FLASH,
    "deepseek-v4-pro": PRO,
    "deepseek-v4-flash": FLASH,
    "deepseek-v4-flash-vision-exp": FLASH,
    "deepseek-chat": CHAT,
    "deepseek-reasoner": FLASH,
}

# The limits of the names of 2025 (V3.2-Exp): to test against small windows and outputs. Their
# prompts are encoded as V4.1's, the nearest encoding with a published implementation.
AUTUMN_2025: Mapping[str, Hosted] = {
    "deepseek-chat": Hosted(
        id="deepseek-chat",
        version=ModelVersion.DeepseekV41Flash,
        window=131_072,
        max_output=8_192,
        thinks_by_default=False,
    ),
    "deepseek-reasoner": Hosted(
        id="deepseek-reasoner",
        version=ModelVersion.DeepseekV41Flash,
        window=131_072,
        max_output=65_536,
    ),
}


def listing(names: Mapping[str, Hosted], *, enlarged: bool) -> dict[str, object]:
    """The answer to ``GET /models``: each model once, under its own name. ``enlarged`` adds what
    DeepSeek's list says of each model since September 2026.
    """
    shown = {name: model for name, model in names.items() if name == model.id}
    return {
        "object": "list",
        "data": [
            {"id": name, "object": "model", "owned_by": "deepseek"}
            | (_details(model) if enlarged else {})
            for name, model in shown.items()
        ],
    }


def _details(model: Hosted) -> dict[str, object]:
    update = "in-history" if model.version == ModelVersion.DeepseekV41Flash else "leading-only"
    return {
        "name": model.display_name or model.id,
        "context_window": model.window,
        "max_output_tokens": model.max_output,
        "input_modalities": ["text", "image"] if model.sees else ["text"],
        "output_modalities": ["text"],
        "effort": {"supported_levels": ["low", "high", "max"], "default_level": "high"},
        "api_capabilities": {"anthropic_messages": {"system_prompt_update": update}},
    }
