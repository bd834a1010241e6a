"""Resources that runs use: settings, database, queues, traces, clock, and the store of the assets' frames."""
