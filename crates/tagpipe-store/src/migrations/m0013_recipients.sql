-- Of a channel with several recipients, those that have a message already while it is tried again for the others.
ALTER TABLE news_messages ADD COLUMN reached {json} NOT NULL DEFAULT '[]';
