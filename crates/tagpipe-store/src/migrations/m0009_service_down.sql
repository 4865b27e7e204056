DROP TABLE api_tokens;
DROP TABLE run_orders;
DROP TABLE schedules;
ALTER TABLE runs DROP COLUMN steering;
