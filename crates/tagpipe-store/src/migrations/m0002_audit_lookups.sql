-- "What happened to this page?" and "What did this runner do?", from an index at ten million entries.
CREATE INDEX audit_logs_by_page ON audit_logs (page_key, created_at DESC);
CREATE INDEX audit_logs_by_runner ON audit_logs (runner_id, created_at DESC);
