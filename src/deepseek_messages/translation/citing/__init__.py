"""Citations: what of a prompt can be cited, and the marks of an answer that cite it."""
