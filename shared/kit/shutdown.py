"""How the ten seconds after SIGTERM (contract section 9) are shared out. The waits follow one another and add up."""

HTTP_SECONDS = 4  # requests in flight; whole seconds, as uvicorn wants them
OUTBOX_SECONDS = 2.5  # jobs in hand: what is cut off is leased again by whoever runs next
KAFKA_SECONDS = 2.5  # batches in hand: what is cut off is delivered again
