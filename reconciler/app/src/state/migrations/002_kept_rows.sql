-- Version 2. Tables whose strategy merges against the base keep what both sides hold of each row, once where it is the same:
-- a JSON list of the values, in the order of the columns of the base row's version, then the soft delete flag.
-- cloud_row and local_row are such lists too from now on; objects by column name, as version 1 wrote them, are still read.

ALTER TABLE base ADD COLUMN agreed_row TEXT CHECK (agreed_row IS NULL OR cloud_row IS NULL);

-- What the base becomes, as in base: one list if both sides hold the same, else the cloud's and the local side's.
ALTER TABLE journal ADD COLUMN base_agreed_row TEXT;
ALTER TABLE journal ADD COLUMN base_cloud_row TEXT;
ALTER TABLE journal ADD COLUMN base_local_row TEXT;
