-- Version 3. Which plugin decided: JSON with the strategy's name in the spec, and the plugin's name, version and BLAKE3 digest.

ALTER TABLE conflicts ADD COLUMN plugin TEXT;

-- All that a run asked, as a JSON list; NULL: none.
ALTER TABLE runs ADD COLUMN plugins TEXT;

DROP VIEW sync_audit_log;
-- What auditors read: one line a run, times as ISO 8601 in UTC.
CREATE VIEW sync_audit_log AS
SELECT runs.remote_db_id,
       strftime('%Y-%m-%dT%H:%M:%S', runs.started / 1000000, 'unixepoch')
           || printf('.%06dZ', runs.started % 1000000) AS sync_timestamp,
       runs.id AS sync_id,
       runs.sync AS sync_name,
       runs.status,
       coalesce(totals.cloud_to_local, 0) AS cloud_to_local,
       coalesce(totals.local_to_cloud, 0) AS local_to_cloud,
       coalesce(totals.conflicts_detected, 0) AS conflicts,
       coalesce(totals.conflicts_resolved, 0) AS conflicts_resolved,
       coalesce(totals.quarantined, 0) AS quarantined,
       (runs.finished - runs.started) / 1000000.0 AS duration_seconds,
       runs.mode,
       runs.strategy,
       runs.cause AS started_by,
       runs.generation,
       runs.error,
       runs.plugins
FROM runs
LEFT JOIN (
    SELECT run,
           sum(cloud_to_local) AS cloud_to_local,
           sum(local_to_cloud) AS local_to_cloud,
           sum(conflicts_detected) AS conflicts_detected,
           sum(conflicts_resolved) AS conflicts_resolved,
           sum(quarantined) AS quarantined
    FROM run_tables
    GROUP BY run
) AS totals ON totals.run = runs.id;
