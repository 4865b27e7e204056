DROP INDEX audit_logs_by_runner;
DROP INDEX audit_logs_by_page;
