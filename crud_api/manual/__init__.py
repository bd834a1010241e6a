"""Serves the pages of docs/ under `/docs/pages/`, such as the runbook that the Dagster UI links to."""
