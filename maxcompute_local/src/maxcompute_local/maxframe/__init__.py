"""The MaxFrame service: sessions and DAGs, each DAG run by a process of its own."""
