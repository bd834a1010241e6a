"""Builds what the Dagster UI shows: charts, tables, column schemas and links."""
