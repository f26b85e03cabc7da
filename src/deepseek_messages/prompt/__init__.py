"""DeepSeek's own encoding: a prompt's text, its token ids, its size."""
