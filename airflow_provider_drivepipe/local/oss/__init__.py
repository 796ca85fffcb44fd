"""OSS over a directory tree."""
