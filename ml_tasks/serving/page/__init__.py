"""The service's web page: its files, served from memory, and nothing from any other address."""
