"""What runs submitted MaxFrame DAGs, in an interpreter of its own.

There this package is loaded as ``maxcompute_local_engine`` (see ``bootstrap``), because that interpreter
refuses to import ``maxcompute_local``, which a DPE worker does not have. Hence modules here import each other
relatively and nothing else of ours. The server shares ``job``, ``errors`` and ``mounts``, which need no
MaxFrame SDK.
"""
