"""Notifier: tells the eligible administrators of each request, once each, and records how that went."""
