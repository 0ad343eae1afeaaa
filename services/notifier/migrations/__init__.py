"""Alembic revisions; `shared.kit.db.migrate` runs them."""
