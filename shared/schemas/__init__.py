"""The events: what the services say to one another. Pydantic only; imports nothing else of this project."""
