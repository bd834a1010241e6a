"""Domain terms that all services share: states, messages and the planning day."""
