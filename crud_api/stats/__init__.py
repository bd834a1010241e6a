"""Statistics: counts and rates of what came of the mails."""
