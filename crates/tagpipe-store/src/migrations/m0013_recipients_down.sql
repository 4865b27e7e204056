ALTER TABLE news_messages DROP COLUMN reached;
