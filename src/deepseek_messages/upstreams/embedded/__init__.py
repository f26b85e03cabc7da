"""A llama.cpp model inside the process, through ``xllamacpp``."""

from deepseek_messages.upstreams.embedded.upstream import EmbeddedUpstream, ModelSource

__all__ = ["EmbeddedUpstream", "ModelSource"]
