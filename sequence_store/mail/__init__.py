"""Mail content: templates, plain text, links and Message-IDs."""
