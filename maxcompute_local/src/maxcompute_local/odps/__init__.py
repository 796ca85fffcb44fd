"""MaxCompute: catalog, SQL, REST and tunnel."""
