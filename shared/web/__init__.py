"""What the pages of all services have in common: templates, stylesheet, sessions, sign-in, mail layout."""
