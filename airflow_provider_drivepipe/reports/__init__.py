"""Pages for people: a report of each partition, contact sheets, items and evidence. Each is one HTML file."""
