"""Servers of chat completions: DeepSeek's API, vLLM, SGLang, llama.cpp, Ollama, and their like."""
