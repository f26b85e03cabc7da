"""Several upstreams behind one: who is asked, who is left out for a while, and who is next."""
