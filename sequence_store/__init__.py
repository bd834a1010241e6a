"""What all services share: the SQL and its loader, states, message contracts, settings, errors."""
