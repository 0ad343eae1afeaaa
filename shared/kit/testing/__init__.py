"""What makes running services misbehave on purpose, for tests; production code imports it only where a test says so."""
