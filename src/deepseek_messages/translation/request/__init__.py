"""A Messages request: from bytes to types, and on to the chat request that an upstream gets."""
