"""Recovery: an administrator acts, the person gets a code or a link, uses it once, and is handed over with a grant."""
