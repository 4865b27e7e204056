DROP TABLE watches;
DROP TABLE news_deliveries;
DROP TABLE news_messages;
DROP TABLE news_channels;
DROP TABLE news;
ALTER TABLE pace DROP COLUMN closed_since_us;
ALTER TABLE runs DROP COLUMN watched_until;
