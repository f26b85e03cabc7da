"""Writes a ``TaughtModel`` as a folder of Hugging Face's layout, for vLLM and SGLang.

Sources: the safetensors format (a length, a JSON header, the tensors); names and configuration of
transformers' Qwen2.
"""

import json
import struct
from pathlib import Path

from deepseek_messages.prompt.tokenizer import _document
from tests.support.taught_model import (
    HEADS,
    INNER,
    ROPE_BASE,
    TaughtModel,
    identity,
    signs_table,
    spellings,
)

Tensor = tuple[tuple[int, ...], bytes]

# DeepSeek's own prompts need no template; the chat route does. Thinking is as in V4's prompts.
TEMPLATE = (
    "<｜begin▁of▁sentence｜>{% for m in messages %}"
    "{% if m.role == 'user' %}<｜User｜>{{ m.content }}"
    "{% elif m.role == 'assistant' %}<｜Assistant｜></think>{{ m.content }}<｜end▁of▁sentence｜>"
    "{% else %}{{ m.content }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<｜Assistant｜>"
    "{% if thinking %}<think>{% else %}</think>{% endif %}{% endif %}"
)


def write_folder(model: TaughtModel, folder: Path, context: int) -> None:
    """Write the files into ``folder``. ``context`` is what they say the model was trained for."""
    config = {
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        "vocab_size": len(spellings()),
        "hidden_size": model.width,
        "intermediate_size": INNER,
        "num_hidden_layers": 1,
        "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS,
        "max_position_embeddings": context,
        "rms_norm_eps": 1e-6,
        "rope_theta": ROPE_BASE,
        "tie_word_embeddings": False,
        "hidden_act": "silu",
        "torch_dtype": "float32",
        "bos_token_id": 0,
        "eos_token_id": 1,
    }
    spoken = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<｜begin▁of▁sentence｜>",
        "eos_token": "<｜end▁of▁sentence｜>",
        "model_max_length": context,
        "clean_up_tokenization_spaces": False,
        "chat_template": TEMPLATE,
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer_config.json").write_text(json.dumps(spoken))
    (folder / "tokenizer.json").write_text(_document(), encoding="utf-8")
    (folder / "model.safetensors").write_bytes(_safetensors(_tensors(model)))


def _safetensors(tensors: dict[str, Tensor]) -> bytes:
    header, at = {}, 0
    for name, (shape, data) in tensors.items():
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": [at, at + len(data)]}
        at += len(data)
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    return struct.pack("<Q", len(head)) + head + b"".join(data for _, data in tensors.values())


def _tensors(model: TaughtModel) -> dict[str, Tensor]:
    """Shapes have the input's width last."""
    width, words = model.width, len(spellings())
    square, row, table = (width, width), (width,), signs_table()
    nothing, ones, same = bytes(2 * width), _halves([1.0] * width), _halves(identity(width))
    rows = {token: _halves(weights) for token, weights in model.output.items()}
    block = {
        "self_attn.q_proj.weight": (square, nothing * width),
        "self_attn.k_proj.weight": (square, nothing * width),
        "self_attn.v_proj.weight": (square, same),
        "self_attn.o_proj.weight": (square, same),
        "self_attn.q_proj.bias": (row, _halves(model.query)),
        "self_attn.k_proj.bias": (row, _halves(model.key)),
        "self_attn.v_proj.bias": (row, nothing),
        "input_layernorm.weight": (row, ones),
        "post_attention_layernorm.weight": (row, ones),
        "mlp.gate_proj.weight": ((INNER, width), nothing * INNER),
        "mlp.up_proj.weight": ((INNER, width), nothing * INNER),
        "mlp.down_proj.weight": ((width, INNER), nothing * INNER),
    }
    return {
        "model.embed_tokens.weight": (
            (words, width),
            b"".join(map(table.__getitem__, model.signs)),
        ),
        "lm_head.weight": (
            (words, width),
            b"".join(rows.get(token, nothing) for token in range(words)),
        ),
        "model.norm.weight": (row, ones),
    } | {f"model.layers.0.{name}": tensor for name, tensor in block.items()}


def _halves(numbers: list[float]) -> bytes:
    return struct.pack(f"<{len(numbers)}e", *numbers)
