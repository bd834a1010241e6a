"""Applies the results of sends, and the reports of mail providers."""
