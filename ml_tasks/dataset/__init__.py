"""What data there is: scanning, manifest, patients, splits, importing, sample data."""
