"""The demo's mailbox: a real SMTP server, a page to read in, and a subset of Mailpit's JSON API."""
