"""MaxCompute SQL over Parquet files: DDL on the catalog, queries through DuckDB."""
