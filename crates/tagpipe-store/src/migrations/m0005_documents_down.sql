DROP VIEW lineage;
DROP TABLE documents;
