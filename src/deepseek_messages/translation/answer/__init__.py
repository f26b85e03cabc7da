"""An answer: from an upstream's bytes to chunks, and on to the events that a client gets."""
