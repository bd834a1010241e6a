"""Who must not be mailed again, whatever happens to the contact."""
