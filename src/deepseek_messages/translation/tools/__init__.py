"""The tools of a request: their definitions, names, schemas, and the choice among them."""
