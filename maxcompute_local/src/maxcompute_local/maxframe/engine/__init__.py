"""What runs submitted MaxFrame DAGs, in an interpreter of its own.

There this package is loaded as ``drivepipe_engine`` (see ``bootstrap``), because that interpreter refuses to
import ``airflow_provider_drivepipe``, as a DPE worker would. Hence modules here import each other relatively
and nothing else of ours. The server shares ``job``, ``errors`` and ``mounts``, which need no MaxFrame SDK.
"""
