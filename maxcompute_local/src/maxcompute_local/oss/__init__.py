"""OSS over a directory tree: objects are plain files, so that a mount can simply show the directory."""
