"""Web search and web fetch, run by this server: providers, and what clients get of them."""
