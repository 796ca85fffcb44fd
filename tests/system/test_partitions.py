"""Which partition a run owns, in a real Airflow: scheduled, by key, without one, back-filled, cleared."""

from __future__ import annotations


def test_by_key(system):
    pictures = system.cloud.image_table("by_key_images", {"20260301": 3})["20260301"]
    system.cluster.wait_until_served("by_key")
    system.api.unpause("by_key")
    run = system.api.trigger("by_key", partition_key="20260301")
    system.api.wait_run("by_key", run)
    assert system.cloud.statuses("by_key_labels", "20260301") == {"ok": 3}
    assert sorted(c.image for c in system.model.calls_of("by_key")) == sorted(p.digest for p in pictures)
    print(
        system.cluster.listening(), system.cloud.jobs(), system.cloud.live_sessions(), system.cloud.counters()
    )
