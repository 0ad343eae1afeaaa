"""HTTP: the administrators' interface, the public one, and the pages of both."""
