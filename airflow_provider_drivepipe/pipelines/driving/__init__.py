"""The family of pipelines from driving videos, clips or images to labels and embeddings."""
