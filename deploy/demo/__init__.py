"""The demo: what stands in for the customer's own world.

An identity platform, a mailbox, an organisation of twenty accounts with three months of history, and a GeoIP
database. Nothing here imports the services or `shared`: like any customer's system, the demo knows Readmit by its
published interface only (HTTP, JWKS, CloudEvents).
"""
