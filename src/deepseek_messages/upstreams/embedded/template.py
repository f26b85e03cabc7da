"""A chat template that knows tools, for models whose own does not.

SmolLM2's template writes every message as ``<|im_start|>role``, text, ``<|im_end|>`` (the ChatML
form) and ignores tools. Ours writes the same for the same messages and adds the tools to the
system message, in the form that the Hermes and Qwen models made customary: signatures inside
``<tools>``, calls inside ``<tool_call>``, results inside ``<tool_response>``. llama.cpp reads calls
of that form back.
"""

from msgspec import Struct

_CHATML = "<|im_start|>"

# The system message that SmolLM2's own template puts first when the caller gives none.
_SMOLLM_SYSTEM = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"

_TOOLS_TEMPLATE = """\
{%- set own_system = messages and messages[0]['role'] == 'system' -%}
{%- set system = messages[0]['content'] if own_system else @SYSTEM@ -%}
{%- if system or tools -%}
{{- '<|im_start|>system\\n' + system -}}
{%- if tools -%}
{{- '\\n\\n# Tools\\n\\nYou may call one or more functions to assist with the user query. ' -}}
{{- 'The functions are listed inside <tools></tools>:\\n<tools>' -}}
{%- for tool in tools -%}
{{- '\\n' + (tool | tojson) -}}
{%- endfor -%}
{{- '\\n</tools>\\n\\nTo call a function, answer with its name and arguments as JSON inside ' -}}
{{- '<tool_call></tool_call>:\\n<tool_call>\\n{"name": <function-name>, ' -}}
{{- '"arguments": <args-json-object>}\\n</tool_call>' -}}
{%- endif -%}
{{- '<|im_end|>\\n' -}}
{%- endif -%}
{%- for message in messages -%}
{%- if loop.first and own_system -%}
{%- elif message['role'] == 'tool' -%}
{{- '<|im_start|>user\\n<tool_response>\\n' + message['content'] -}}
{{- '\\n</tool_response><|im_end|>\\n' -}}
{%- elif message['role'] == 'assistant' and message.get('tool_calls') -%}
{{- '<|im_start|>assistant\\n' -}}
{%- if message['content'] -%}{{- message['content'] + '\\n' -}}{%- endif -%}
{%- for call in message['tool_calls'] -%}
{{- '<tool_call>\\n{"name": "' + call['function']['name'] + '", "arguments": ' -}}
{{- (call['function']['arguments'] | tojson) + '}\\n</tool_call>' -}}
{%- if not loop.last -%}{{- '\\n' -}}{%- endif -%}
{%- endfor -%}
{{- '<|im_end|>\\n' -}}
{%- else -%}
{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}
"""


class ChatTemplate(Struct, frozen=True):
    """``override`` is the template to use instead of the model's own (empty: its own).
    ``tools`` and ``thinks`` tell what the template in use can say.
    """

    override: str
    tools: bool
    thinks: bool


def choose_template(own: str) -> ChatTemplate:
    """The template for a model whose own one is ``own``: ours when it is a ChatML template
    without tools, otherwise its own.
    """
    thinks = "<think>" in own
    if "tools" in own or (own and _CHATML not in own):
        return ChatTemplate("", tools="tools" in own, thinks=thinks)
    if not own:
        return ChatTemplate("", tools=False, thinks=False)
    system = repr(_SMOLLM_SYSTEM) if _SMOLLM_SYSTEM in own else "''"
    return ChatTemplate(_TOOLS_TEMPLATE.replace("@SYSTEM@", system), tools=True, thinks=thinks)
