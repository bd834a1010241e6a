"""What a run is handed: settings, the database, the queues, a clock, and where assets keep their frames."""
